"""Warm connections straight to one server, for GETs and nothing else.

What urllib3 and botocore do around a request takes three times as long as sending it and
reading its answer.  Through a proxy it is still they who do it (`anvcs.artifacts.s3.reading`).
"""

import http.client
import select
import socket
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

from anvcs.artifacts.errors import StoreUnreachable, TransferBroken

_MOST_IDLE: Final = 32


class Reply:
    """An answer whose body is still to be read; close it."""

    def __init__(self, lines: "Lines", line: socket.socket, answer: http.client.HTTPResponse) -> None:
        self._lines, self._line, self._answer = lines, line, answer
        self.status, self.headers = answer.status, answer.headers
        self.read = answer.read

    def close(self) -> None:
        """Keep the connection if all was read, else end it."""
        answer = self._answer
        over = answer.isclosed() or answer.length == 0
        answer.close()
        if over and not answer.will_close:
            self._lines.keep(self._line)
        else:
            self._line.close()


class Lines:
    """Connections to one server; may be used from several threads."""

    def __init__(self, base: str, name: str, timeouts: tuple[float, float], ca_file: str) -> None:
        """*base* begins with the scheme and the host; *name* is the store's; *timeouts*: to connect, and to read."""
        address = urllib.parse.urlsplit(base)
        self._tls: Any = None
        if address.scheme == "https":
            import ssl

            self._tls = ssl.create_default_context(cafile=ca_file)
        self._host = address.hostname or ""
        self._port = address.port or (443 if self._tls is not None else 80)
        self._base, self._name, self._timeouts = base, name, timeouts
        self._lock = threading.Lock()
        self._idle: list[socket.socket] = []

    def __del__(self) -> None:
        for line in self._idle:
            line.close()

    def get(self, target: str, headers: Mapping[str, str]) -> Reply:
        """The answer to one GET; raises `StoreUnreachable` or `TransferBroken`."""
        asked = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"GET {target} HTTP/1.1\r\n{asked}\r\n".encode("latin-1")
        line = self._warm()
        if line is not None:
            try:
                return self._ask(line, head)
            except TransferBroken:  # the server may just have hung up on a line that was idle: that was no request
                pass
        return self._ask(self._connect(), head)

    def keep(self, line: socket.socket) -> None:
        """A connection that may be used again."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(line)
                return
        line.close()

    def _warm(self) -> socket.socket | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                line = self._idle.pop()
            poll = select.poll()
            poll.register(line, select.POLLIN)
            if not poll.poll(0):
                return line
            line.close()  # an idle line has nothing to say but its end

    def _ask(self, line: socket.socket, head: bytes) -> Reply:
        answer = http.client.HTTPResponse(line, method="GET")
        try:
            line.sendall(head)
            answer.begin()
            if (
                answer.length is None and not answer.chunked
            ):  # http.client takes a head that was cut off for a whole one
                raise ConnectionError("the answer doesn't say how long it is")
        except TimeoutError as error:
            self._hang_up(line, answer)
            raise StoreUnreachable(self._name, f"{self._base} says nothing for {self._timeouts[1]:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self._hang_up(line, answer)
            raise TransferBroken(self._name, f"the connection broke: {error}") from error
        return Reply(self, line, answer)

    def _connect(self) -> socket.socket:
        try:
            line: socket.socket = socket.create_connection((self._host, self._port), self._timeouts[0])
            try:
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if self._tls is not None:
                    line = self._tls.wrap_socket(line, server_hostname=self._host)
                line.settimeout(self._timeouts[1])
            except BaseException:
                line.close()
                raise
        except OSError as error:
            raise StoreUnreachable(self._name, f"no connection to {self._base}: {error}") from error
        return line

    @staticmethod
    def _hang_up(line: socket.socket, answer: http.client.HTTPResponse) -> None:
        answer.close()
        line.close()
