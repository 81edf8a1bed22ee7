"""Our own way to a server: signed as botocore signs, over connections that are used again."""

import calendar
import socket
import threading
import time
from contextlib import closing

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from anvcs.artifacts.errors import StoreUnreachable, TransferBroken
from anvcs.artifacts.s3.lines import Lines
from anvcs.artifacts.s3.signing import Signer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("token", [None, "a/token+of=sts"])
@pytest.mark.parametrize("query", ["", "versionId=a~b%2F1"])
def test_requests_are_signed_as_botocore_signs_them(token, query):
    credentials = Credentials("AKIAEXAMPLE", "se/cret", token)
    path = "/bucket/a%20key/%C3%A4~"
    url = f"https://host.example:9000{path}" + (f"?{query}" if query else "")
    theirs = AWSRequest("GET", url)
    S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(theirs)
    when = calendar.timegm(time.strptime(theirs.context["timestamp"], "%Y%m%dT%H%M%SZ"))
    signer = Signer("host.example:9000", "eu-west-1")
    for _ in range(2):  # the second time with the key that is kept
        ours = signer.headers(path, query, credentials, when)
        assert ours["Authorization"] == theirs.headers["Authorization"]
        assert {name.lower() for name in ours} - {"host"} == {name.lower() for name in theirs.headers}


class Server:
    """Answers on each connection with what it is given, then hangs up."""

    def __init__(self, *lines: list[bytes]) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        self._lines = list(lines)
        self.hung_up = [threading.Event() for _ in lines]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answers, hung_up in zip(self._lines, self.hung_up, strict=True):
            connection, _ = self._door.accept()
            with connection:
                for answer in answers:
                    heard = b""
                    while not heard.endswith(b"\r\n\r\n"):
                        heard += connection.recv(4096)
                    connection.sendall(answer)
            hung_up.set()

    def close(self) -> None:
        self._thread.join(10)
        self._door.close()


@pytest.fixture
def lines():
    made: list[Server] = []

    def make(*answers: list[bytes]) -> tuple[Lines, Server]:
        made.append(Server(*answers))
        return Lines(made[-1].url, "the store", (2.0, 2.0), ""), made[-1]

    yield make
    for server in made:
        server.close()


def ask(lines: Lines) -> bytes:
    with closing(lines.get("/x", {"Host": "h"})) as reply:
        return reply.read()


def test_a_connection_is_used_again(lines):
    way, _ = lines([ANSWER, ANSWER])
    assert [ask(way), ask(way)] == [b"hello", b"hello"]


def test_a_connection_whose_body_was_not_read_is_not(lines):
    way, _ = lines([ANSWER], [ANSWER])
    with closing(way.get("/x", {"Host": "h"})) as reply:
        assert reply.read(1) == b"h"
    assert ask(way) == b"hello"


def test_a_server_that_hung_up_meanwhile_is_called_again(lines):
    way, server = lines([ANSWER], [ANSWER])
    ask(way)
    assert server.hung_up[0].wait(10)
    assert ask(way) == b"hello"


def test_a_server_that_hangs_up_on_the_request_is_called_again(lines):
    way, _ = lines([ANSWER, b""], [ANSWER])
    ask(way)
    assert ask(way) == b"hello"


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-"])
def test_a_first_request_that_breaks_is_told(lines, answer):
    way, _ = lines([answer])
    with pytest.raises(TransferBroken):
        ask(way)


def test_who_is_not_there_is_told():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StoreUnreachable, match="no connection"):
        ask(Lines(f"http://127.0.0.1:{port}", "the store", (2.0, 2.0), ""))


def test_only_so_many_connections_are_kept():
    way = Lines("http://127.0.0.1:9", "the store", (2.0, 2.0), "")
    pairs = [socket.socketpair() for _ in range(40)]
    for ours, _ in pairs:
        way.keep(ours)
    assert sum(ours.fileno() >= 0 for ours, _ in pairs) == 32
    for pair in pairs:
        for end in pair:
            end.close()
