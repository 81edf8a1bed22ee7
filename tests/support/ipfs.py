"""A node of IPFS for tests: a fake of its protocol, or the real one of npm's package ``ipfs``.

The fake speaks as much of the RPC API, of a gateway and of the pinning-service API as our
store uses.  Its CIDs are those of single raw blocks.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.waiting import eventually

TOKEN = "let-me-in"


def cid_of(data: bytes) -> str:
    """The CID of a raw block."""
    raw = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(raw).decode().rstrip("=").lower()


class FakeNode:
    """RPC, gateway and pinning service on one port."""

    def __init__(self) -> None:
        self.blocks: dict[str, bytes] = {}
        self.files: dict[str, str] = {}
        self.folders: set[str] = set()
        self.pins: dict[str, dict[str, str]] = {}
        self.failing: list[int] = []
        """Statuses of the next answers."""
        self.cut: list[int] = []
        """The next bodies end after so many bytes."""
        node = self

        class Handler(_Handler):
            owner = node

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FakeNode
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        self.body = self._read()
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query)
        if self.owner.failing:
            self._answer(self.owner.failing.pop(0), b"")
        elif url.path.startswith("/api/v0/"):
            self._rpc(url.path.removeprefix("/api/v0/"))
        elif url.path.startswith("/ipfs/"):
            self._gateway(url.path.removeprefix("/ipfs/"))
        else:
            self._service(url.path)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815  # the names that http.server wants

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _rpc(self, call: str) -> None:
        if self.command != "POST":
            self._answer(405, b"")
            return
        node, arguments = self.owner, self.query.get("arg", [""])
        if call == "add":
            boundary = re.search("boundary=(.*)", self.headers["Content-Type"])[1].encode()
            data = self.body.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--" + boundary + b"--\r\n")
            cid = cid_of(data)
            node.blocks[cid] = data
            self._json({"Name": "file", "Hash": cid, "Size": str(len(data))})
        elif call == "cat":
            data = node.blocks[arguments[0]]
            start, length = int(self.query["offset"][0]), int(self.query["length"][0])
            self._answer(200, data[start : start + length])
        elif call == "files/mkdir":
            node.folders.add(arguments[0])
            self._answer(200, b"")
        elif call == "files/cp":
            if arguments[1] in node.files:
                self._refuse("directory already has entry by that name")
            else:
                node.files[arguments[1]] = arguments[0].removeprefix("/ipfs/")
                self._answer(200, b"")
        elif call == "files/ls":
            if arguments[0] not in node.folders:
                self._refuse("file does not exist")
            else:
                prefix = arguments[0] + "/"
                names = [name.removeprefix(prefix) for name in node.files if name.startswith(prefix)]
                self._json({"Entries": [{"Name": name} for name in names] or None})
        elif call == "files/rm":
            del node.files[arguments[0]]
            self._answer(200, b"")
        elif call == "files/stat":
            self._json({"Size": len(node.blocks[arguments[0].removeprefix("/ipfs/")])})
        else:
            self._answer(404, b"404 page not found")

    def _gateway(self, cid: str) -> None:
        known = set(self.owner.files.values())
        if cid not in known:
            self._answer(404, b"not found")
            return
        data = self.owner.blocks[cid]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._answer(200, data)
        elif int(wanted[1]) >= len(data):
            self._answer(416, b"")
        else:
            self._answer(206, data[int(wanted[1]) : int(wanted[2]) + 1 if wanted[2] else None])

    def _service(self, path: str) -> None:
        pins = self.owner.pins
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, b'{"error": {"reason": "UNAUTHORIZED"}}')
        elif self.command == "POST":
            name = f"request-{len(pins)}"
            pins[name] = json.loads(self.body)
            self._json({"requestid": name, "status": "queued"}, 202)
        elif self.command == "DELETE":
            found = pins.pop(path.removeprefix("/psa/pins/"), None)
            self._answer(202 if found else 404, b"")
        else:
            cid = self.query["cid"][0]
            rows = [{"requestid": name, "pin": pin} for name, pin in pins.items() if pin["cid"] == cid]
            self._json({"count": len(rows), "results": rows})

    def _refuse(self, message: str) -> None:
        self._json({"Message": message, "Code": 0, "Type": "error"}, 500)

    def _json(self, document: object, status: int = 200) -> None:
        self._answer(status, json.dumps(document).encode() + b"\n")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.owner.cut and status in {200, 206} and len(body) > self.owner.cut[0]:
            body = body[: self.owner.cut.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server's name
        pass


@pytest.fixture
def ipfs_node() -> Iterator[FakeNode]:
    """A fake node."""
    node = FakeNode()
    yield node
    node.close()


NPM_PACKAGE = "ANVCS_TEST_IPFS"
_POLYFILL = """
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}
"""


@pytest.fixture(scope="session")
def real_ipfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The RPC address of a real node, from the folder that has ``node_modules/ipfs``."""
    home = os.environ.get(NPM_PACKAGE)
    if not home or shutil.which("node") is None:
        pytest.skip(f"{NPM_PACKAGE} names no folder in which `npm install ipfs@0.66.1` was run")
    top = tmp_path_factory.mktemp("ipfs")
    (top / "polyfill.cjs").write_text(_POLYFILL)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = one.getsockname()[1], two.getsockname()[1]
    node = ["node", "--require", top / "polyfill.cjs", Path(home) / "node_modules/ipfs/src/cli.js"]
    env = {**os.environ, "IPFS_PATH": str(top / "repo")}
    subprocess.run([*node, "init", "--profile", "test", "--empty-repo"], env=env, check=True, capture_output=True)
    file = top / "repo" / "config"
    config = json.loads(file.read_text())
    config["Bootstrap"] = []
    config["Addresses"] |= {
        "Swarm": [],
        "API": f"/ip4/127.0.0.1/tcp/{ports[0]}",
        "Gateway": f"/ip4/127.0.0.1/tcp/{ports[1]}",
    }
    file.write_text(json.dumps(config))
    with (top / "log").open("wb") as log:
        daemon = subprocess.Popen([*node, "daemon", "--offline"], env=env, stdout=log, stderr=subprocess.STDOUT)

    def ready() -> bool:
        assert daemon.poll() is None, (top / "log").read_text()
        return "Daemon is ready" in (top / "log").read_text()

    eventually(ready, 60)
    yield f"http://127.0.0.1:{ports[0]}"
    daemon.terminate()
    daemon.wait(20)
