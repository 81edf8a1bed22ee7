"""What else AWS has around a bucket: where credentials come from, TLS, and proxies that connect through."""

import contextlib
import datetime as dt
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LATER = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")

Answers = Callable[[str, str, dict[str, str]], object]
"""Method, path and headers of a request: text, a document to be given as JSON, or None for 404."""


class Service:
    """A small HTTP service of AWS's, as far as a client of it can see."""

    def __init__(self, answers: Answers) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = answers(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
                body = "<Error><Code>NotFound</Code></Error>" if answer is None else json.dumps(answer)
                if isinstance(answer, str):
                    body = answer
                self.send_response_only(404 if answer is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = do_POST = _serve  # noqa: N815  # the names that http.server wants

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()


def instance_metadata(key: str, secret: str) -> Service:
    """A machine's metadata service (version 2) that gives its role's credentials."""

    def answers(method: str, path: str, headers: dict[str, str]) -> object:
        if (method, path) == ("PUT", "/latest/api/token"):
            return "token"
        if headers.get("x-aws-ec2-metadata-token") != "token":
            return None
        role = "/latest/meta-data/iam/security-credentials"
        if path.rstrip("/") == role:
            return "machine"
        told = {"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": LATER}
        if path == f"{role}/machine":
            return told | {"AccessKeyId": key, "SecretAccessKey": secret, "Token": "of the role"}
        return None

    return Service(answers)


def single_sign_on(token: str, key: str, secret: str) -> Service:
    """A portal that gives a role's credentials to whoever has logged in."""

    def answers(method: str, path: str, headers: dict[str, str]) -> object:
        if not path.startswith("/federation/credentials?") or headers.get("x-amz-sso_bearer_token") != token:
            return None
        until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=6)).timestamp() * 1000
        found = {
            "accessKeyId": key,
            "secretAccessKey": secret,
            "sessionToken": "of the portal",
            "expiration": int(until),
        }
        return {"roleCredentials": found}

    return Service(answers)


class Tunnel:
    """A proxy that connects through (``CONNECT``), whatever the name, to one address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []
        """``host:port`` as clients named them."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(4096)
            if not more:
                client.close()
                return
            head += more
        self.asked.append(head.split()[1].decode())
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the other side is gone
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def certificate(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """A server's certificate for *names* and 127.0.0.1, signed by itself: how to serve with it, and what to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests")])
    now = dt.datetime.now(dt.UTC)
    alternatives = [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(pem))
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public
