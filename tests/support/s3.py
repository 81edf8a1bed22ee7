"""A real S3 server, and a proxy before it that injects faults.

By default moto's server, a process of its own; with ``ANVCS_TEST_S3_ENDPOINT`` (and the
usual AWS variables) any other one, in which each test makes a bucket and removes it.
"""

import hashlib
import hmac
import http.client
import os
import re
import secrets
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from anvcs.artifacts.retrying import Backoff
from anvcs.artifacts.s3.options import S3Options
from anvcs.artifacts.s3.store import S3VersionedBlobStore
from anvcs.model.secret import Secret
from support.waiting import eventually

QUICK = Backoff(first_s=0.001, longest_s=0.002)
ENDPOINT = "ANVCS_TEST_S3_ENDPOINT"


@dataclass
class Answer:
    """What goes back to the client; a fault changes it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: int | None = None
    """The connection ends after so many bytes of the body."""
    reset: bool = False
    """It ends with a reset."""


Fault = Callable[["Request", Answer], None]


@dataclass
class Request:
    """What the client asked for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Rule:
    """A fault for the next *times* requests of a method whose path has *part*."""

    method: str
    part: str
    fault: Fault
    times: int = 1


class FaultProxy:
    """Passes requests on, and their answers back, as its rules say."""

    def __init__(self, upstream: str, certificate: ssl.SSLContext | None = None) -> None:
        """*certificate*: it speaks TLS itself."""
        self.upstream = urllib.parse.urlsplit(upstream)
        self.rules: list[Rule] = []
        self.seen: list[Request] = []
        self.clock_s = 0.0
        """So far is the server's ``Date`` moved."""
        self.keeps_host = False
        """As a proxy it passes the host on that it is asked for; moto would take it for a bucket's."""
        self.drops_authorization = False
        """As a strict proxy it knows no header of this name."""
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._handler, self._certificate = Handler, certificate
        self._listen(0)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"

    def _listen(self, port: int) -> None:
        self._server = _Listener(("127.0.0.1", port), self._handler)
        self._server.daemon_threads = True
        if self._certificate is not None:
            self._server.socket = self._certificate.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()

    def come_back(self) -> None:
        """Take connections again, after `close`."""
        self._listen(self._server.server_port)

    def fault(self, method: str, part: str, fault: Fault, times: int = 1) -> None:
        """Arm a fault."""
        with self._lock:
            self.rules.append(Rule(method, part, fault, times))

    def asked(self, method: str, part: str = "") -> list[Request]:
        """The requests so far."""
        return [one for one in self.seen if one.method == method and part in one.path]

    def due(self, request: Request) -> Fault | None:
        """The fault for a request."""
        with self._lock:
            self.seen.append(request)
            for rule in self.rules:
                if rule.times and rule.method == request.method and rule.part in request.path:
                    rule.times -= 1
                    return rule.fault
        return None


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients that leave are what is tested
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        if self.path.startswith("http://") and not self.owner.keeps_host:
            headers["Host"] = self.owner.upstream.netloc
        fault = self.owner.due(request)
        if self.owner.drops_authorization and headers.pop("Authorization", None):
            fault = says(403, "AccessDenied")  # a server that doesn't look at signatures would let it through
        answer = self._ask(request)
        if self.owner.clock_s:
            answer.headers = [(name, value) for name, value in answer.headers if name.lower() != "date"]
            answer.headers.append(("Date", formatdate(time.time() + self.owner.clock_s, usegmt=True)))
        if fault is not None:
            fault(request, answer)
        self._give(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815  # the names that http.server wants

    def _ask(self, request: Request) -> Answer:
        upstream = self.owner.upstream
        kind = http.client.HTTPSConnection if upstream.scheme == "https" else http.client.HTTPConnection
        connection = kind(upstream.hostname, upstream.port, timeout=30)
        try:
            path = urllib.parse.urlsplit(request.path)
            target = f"{path.path}?{path.query}" if path.query else path.path
            connection.request(request.method, target, request.body, request.headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def _give(self, answer: Answer) -> None:
        dropped = {"transfer-encoding", "connection", "content-length", "server"}
        self.send_response_only(answer.status)
        length = str(len(answer.body))
        for name, value in answer.headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in dropped:
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut] if answer.cut is not None else answer.body)
        if answer.cut is not None:
            self.wfile.flush()
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        pass


# Faults


def says(status: int, code: str = "", **headers: str) -> Fault:
    """The server answers with an error."""

    def fault(request: Request, answer: Answer) -> None:
        answer.status = status
        answer.headers = list(headers.items())
        answer.body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode() if code else b""

    return fault


def breaks(after: int, *, reset: bool = True) -> Fault:
    """The body ends after so many bytes."""

    def fault(request: Request, answer: Answer) -> None:
        answer.cut, answer.reset = after, reset

    return fault


def flips(at: int) -> Fault:
    """One bit of the body is wrong."""

    def fault(request: Request, answer: Answer) -> None:
        body = bytearray(answer.body)
        body[at] ^= 1
        answer.body = bytes(body)

    return fault


def waits_for(gate: threading.Event) -> Fault:
    """The answer is kept back until *gate* is set."""

    def fault(request: Request, answer: Answer) -> None:
        assert gate.wait(60), "a test forgot the answer that it holds back"

    return fault


def without(*names: str) -> Fault:
    """A server that leaves headers out."""

    def fault(request: Request, answer: Answer) -> None:
        answer.headers = [(name, value) for name, value in answer.headers if name.lower() not in names]

    return fault


# Signatures, as AWS describes them: the test's server doesn't look at them


def signature_is_right(request: Request, secret: str) -> bool:
    """Whether a request is signed with *secret* by Signature Version 4, in its headers or its address."""
    path, _, query = request.path.partition("?")
    given = [tuple(part.partition("=")[::2]) for part in query.split("&") if part]
    headers = {name.lower(): value for name, value in request.headers.items()}
    words = dict(given)
    if "X-Amz-Signature" in words:
        scope = urllib.parse.unquote(words["X-Amz-Credential"]).split("/")[1:]
        signed, signature = urllib.parse.unquote(words["X-Amz-SignedHeaders"]), words["X-Amz-Signature"]
        date, payload = words["X-Amz-Date"], "UNSIGNED-PAYLOAD"
    else:
        found = re.search("Credential=([^,]*), SignedHeaders=([^,]*), Signature=(.*)", headers["authorization"])
        scope, signed, signature = found[1].split("/")[1:], found[2], found[3]
        date, payload = headers["x-amz-date"], headers["x-amz-content-sha256"]
    rows = sorted((name, value) for name, value in given if name != "X-Amz-Signature")
    lines = [request.method, path, "&".join(f"{name}={value}" for name, value in rows)]
    lines += [f"{name}:{headers[name].strip()}" for name in signed.split(";")] + ["", signed, payload]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in scope:
        key = hmac.digest(key, word.encode(), "sha256")
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, "/".join(scope), digest])
    return hmac.digest(key, to_sign.encode(), "sha256").hex() == signature


# The server


@dataclass
class Server:
    """Where it listens and what opens it."""

    url: str
    key: str
    secret: str
    made: list[str] = field(default_factory=list)
    client: object = None

    def admin(self) -> object:
        """A plain client."""
        if self.client is None:
            self.client = boto3.client(
                "s3",
                endpoint_url=self.url,
                aws_access_key_id=self.key,
                aws_secret_access_key=self.secret,
                region_name="us-east-1",
                config=Config(s3={"addressing_style": "path"}),
            )
        return self.client

    def bucket(self, *, versioned: bool = True) -> str:
        """A new bucket."""
        name = f"anvcs-test-{secrets.token_hex(6)}"
        admin = self.admin()
        admin.create_bucket(Bucket=name)
        if versioned:
            admin.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.made.append(name)
        return name

    def remove(self, name: str) -> None:
        """Empty and delete a bucket."""
        admin = self.admin()
        for page in admin.get_paginator("list_object_versions").paginate(Bucket=name):
            for one in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]:
                admin.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
        admin.delete_bucket(Bucket=name)

    def options(self, bucket: str, url: str = "", **more: object) -> S3Options:
        """How our store reaches it."""
        return S3Options(
            bucket=bucket,
            provider="other",
            region="us-east-1",
            endpoint_url=url or self.url,
            access_key_id=Secret(self.key),
            secret_access_key=Secret(self.secret),
            **{"backoff": QUICK, "connect_timeout_s": 2.0, "read_timeout_s": 5.0} | more,
        )


_MOTO = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # it ends with the tests
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""


def start_moto(log: Path) -> tuple[subprocess.Popen[bytes], Server]:
    """moto's server on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _MOTO, str(port)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "1000"},
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    eventually(answers, 60)
    return process, Server(f"http://127.0.0.1:{port}", "testing", "testing")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of this run."""
    if os.environ.get(ENDPOINT):
        server = Server(os.environ[ENDPOINT], os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        yield server
        for name in server.made:
            server.remove(name)
        return
    process, server = start_moto(tmp_path_factory.mktemp("moto") / "log")
    yield server
    process.communicate(timeout=10)  # it ends when its standard input does


@pytest.fixture
def proxy(s3_server: Server) -> Iterator[FaultProxy]:
    """A proxy before the server, without faults yet."""
    made = FaultProxy(s3_server.url)
    yield made
    made.close()


@pytest.fixture
def s3(
    s3_server: Server, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> "Callable[..., S3VersionedBlobStore]":
    """Makes stores of one new bucket, reached through the proxy."""
    bucket, state = s3_server.bucket(), tmp_path_factory.mktemp("state")

    def make(**more: object) -> S3VersionedBlobStore:
        return S3VersionedBlobStore(s3_server.options(bucket, proxy.url, **more), state)

    return make
