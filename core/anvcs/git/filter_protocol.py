"""Git's protocol for long-running filters, version 2 (git's ``gitattributes`` page): the program's side.

Packets have four hexadecimal digits of length before them; a length of 0 ends a list or a content.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final, Protocol

from anvcs.errors import AnvcsError

_LARGEST: Final = 65516
"""Bytes of content in a packet."""
_END = b"0000"


class FilterProtocolError(AnvcsError):
    """Whoever talks to the filter isn't Git, or a later one."""

    def __init__(self, what: str) -> None:
        super().__init__(f"this is a filter that git starts by itself: {what}")


class GitFilter(Protocol):
    """What the filter does with contents.  A refusal is any `AnvcsError` or ``OSError``."""

    def clean(self, path: bytes, content: Iterator[bytes]) -> Iterable[bytes]:
        """What Git stores for a file."""

    def smudge(self, path: bytes, content: Iterator[bytes], *, may_wait: bool) -> Iterable[bytes] | None:
        """What a checkout writes for a blob; None, if Git *may_wait*: it comes later."""

    def ready(self) -> list[bytes]:
        """Paths of what was to come later and has come or failed; waits for one. Empty: there are none left."""


class FilterProcess:
    """One conversation with Git."""

    def __init__(self, source: IO[bytes], target: IO[bytes], work: GitFilter, tell: Callable[[str], None]) -> None:
        self._in, self._out, self._work, self._tell = source, target, work, tell

    def serve(self) -> None:
        """Answer until Git has no more; raises `FilterProtocolError`."""
        self._greet()
        while (request := self._list()) is not None:
            self._answer(request)

    def _greet(self) -> None:
        hello = self._list() or []
        if b"git-filter-client" not in hello or b"version=2" not in hello:
            raise FilterProtocolError("it speaks version 2 of the protocol only")
        self._send([b"git-filter-server", b"version=2"])
        offered = self._list() or []
        wanted = [b"capability=clean", b"capability=smudge", b"capability=delay"]
        self._send([one for one in wanted if one in offered])

    def _answer(self, request: list[bytes]) -> None:
        fields = dict(line.partition(b"=")[::2] for line in request)
        command, path = fields.get(b"command"), fields.get(b"pathname", b"")
        if command == b"list_available_blobs":
            self._send([b"pathname=" + path for path in self._work.ready()])
            self._send([b"status=success"])
            return
        content = self._content()
        try:
            if command == b"clean":
                found: Iterable[bytes] | None = self._work.clean(path, content)
            elif command == b"smudge":
                found = self._work.smudge(path, content, may_wait=fields.get(b"can-delay") == b"1")
            else:
                raise FilterProtocolError(f"{command!r} is no command that it knows")
            for _ in content:  # what was not needed
                pass
        except (AnvcsError, OSError) as error:
            for _ in content:
                pass
            self._refuse(path, error)
            return
        if found is None:
            self._send([b"status=delayed"])
        else:
            self._give(path, found)

    def _give(self, path: bytes, found: Iterable[bytes]) -> None:
        self._send([b"status=success"])
        try:
            for chunk in found:
                view = memoryview(chunk)
                for at in range(0, len(view), _LARGEST):
                    self._packet(view[at : at + _LARGEST])
        except (AnvcsError, OSError) as error:
            self._out.write(_END)
            self._refuse(path, error)  # Git drops what it has of it
            return
        self._out.write(_END)
        self._send([])  # the status stays

    def _refuse(self, path: bytes, error: Exception) -> None:
        self._tell(f"{path.decode(errors='backslashreplace')}: {error}")
        self._send([b"status=error"])

    # Packets

    def _content(self) -> Iterator[bytes]:
        while (packet := self._read()) is not None:
            yield packet

    def _list(self) -> list[bytes] | None:
        """The lines up to the next end; None at the end of everything."""
        lines: list[bytes] = []
        first = self._in.read(4)
        if not first:
            return None
        packet = self._body(first)
        while packet is not None:
            lines.append(packet.removesuffix(b"\n"))
            packet = self._read()
        return lines

    def _read(self) -> bytes | None:
        return self._body(self._in.read(4))

    def _body(self, head: bytes) -> bytes | None:
        try:
            length = int(head, 16)
        except ValueError:
            raise FilterProtocolError("a packet begins with no length") from None
        if length == 0:
            return None
        body = self._in.read(length - 4) if length >= 4 else b""
        if len(body) != length - 4:
            raise FilterProtocolError("a packet is cut off")
        return body

    def _send(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._packet(line + b"\n")
        self._out.write(_END)
        self._out.flush()

    def _packet(self, data: bytes | memoryview) -> None:
        self._out.write(b"%04x" % (len(data) + 4))
        self._out.write(data)
