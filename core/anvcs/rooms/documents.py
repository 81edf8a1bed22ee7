"""The one door to pycrdt.

What it demands, and where each demand is met: indexes are UTF-8 bytes and must not
fall inside a character (`_check`); a range past the end is a Rust panic, which is a
``BaseException`` (`_guarded`); one line of writing, one client id (`fresh_client`);
nothing touches a document inside its observer (`Document.edit` only takes bytes there).
"""

import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, TypeVar

from anvcs.errors import AnvcsError
from anvcs.rooms.diffing import Splice

_T = TypeVar("_T")
_ROOT = "text"
_SPLICES_PER_TRANSACTION = 100
"""A single huge transaction is quadratic in its splices."""

_SEED_BIT = 1 << 31


class DocumentFailed(AnvcsError):
    """The CRDT library refused or panicked; the document must be thrown away."""


def fresh_client() -> int:
    """A client id for one line of writing; never one that `seed_client` gives."""
    return secrets.randbits(31)


def seed_client(text: bytes) -> int:
    """The client id under which *text* is seeded; nobody writes with it."""
    return int.from_bytes(sha256(text).digest()[:4], "big") | _SEED_BIT


def seed(text: bytes) -> bytes:
    """The update that makes *text* out of nothing, the same in every process."""
    document = Document(seed_client(text))
    document.edit(b"", [Splice(0, 0, text)])
    return document.state()


def warm_up() -> None:
    """Load pycrdt, so that the first text need not wait for it; for any thread."""
    Document()


class Document:
    """One text under CRDT rules; any failure leaves it unusable."""

    def __init__(self, client: int | None = None) -> None:
        # Here, because importing pycrdt takes 120 ms that a `--help` must not pay.
        from pycrdt import Doc, Text

        self.client = fresh_client() if client is None else client
        self._doc: Any = Doc(client_id=self.client)
        self._text: Any = self._doc.get(_ROOT, type=Text)
        self._steps: list[tuple[int, int, bytes]] | None = None
        self._watching: Any = None

    def apply(self, updates: Sequence[bytes]) -> None:
        """Take in updates of other lines of writing."""
        for update in updates:
            _guarded(lambda data=update: self._doc.apply_update(data))  # type: ignore[misc]  # a default is beyond inference

    def apply_told(self, updates: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
        """As `apply`; what it did to the text, step by step: offset, bytes removed, text inserted."""
        if self._steps is None:  # once: pycrdt takes longer to subscribe than to apply
            steps = self._steps = []
            self._watching = self._text.observe(lambda event: steps.extend(_steps(event.delta)))
        self.apply(updates)
        done = self._steps[:]
        self._steps.clear()
        return done

    def text(self) -> bytes:
        """The whole text."""
        return _guarded(lambda: str(self._text)).encode()

    def state(self) -> bytes:
        """One update that holds everything."""
        state: bytes = _guarded(self._doc.get_update)
        return state

    def edit(self, text: bytes, splices: Sequence[Splice]) -> tuple[bytes, ...]:
        """Apply *splices*, whose offsets count in *text*, the document's current text.

        Returns the updates that do the same to every other replica.
        """
        _check(text, splices)
        updates: list[bytes] = []
        shift = 0
        for first in range(0, len(splices), _SPLICES_PER_TRANSACTION):
            part = splices[first : first + _SPLICES_PER_TRANSACTION]
            _guarded(lambda part=part, shift=shift: self._splice(part, shift, updates))  # type: ignore[misc]  # as above
            shift += sum(len(splice.text) - (splice.stop - splice.start) for splice in part)
        length = _guarded(lambda: len(self._text))
        if length != len(text) + shift:
            raise DocumentFailed(f"document has {length} bytes, expected {len(text) + shift}")
        return tuple(updates)

    def _splice(self, splices: Sequence[Splice], shift: int, updates: list[bytes]) -> None:
        # Not `get_update(state)`: that repeats the whole set of deletions each time.
        subscription = self._doc.observe(lambda event: updates.append(event.update))
        try:
            with self._doc.transaction():
                for start, stop, text in splices:
                    if stop > start:
                        del self._text[start + shift : stop + shift]
                    if text:
                        self._text.insert(start + shift, text.decode())
                    shift += len(text) - (stop - start)
        finally:
            self._doc.unobserve(subscription)


def merge_texts(base: bytes, ours: Sequence[Splice], theirs: Sequence[Splice], theirs_text: bytes) -> bytes:
    """Both sides' changes to *base*; what both did alike happens once."""
    left = Document()
    left.apply([seed(base)])
    right = Document()
    right.apply([seed(base)])
    right.edit(base, theirs)
    known = set(theirs)
    right.apply(left.edit(base, [splice for splice in ours if splice not in known]))
    return right.text() if ours else theirs_text


def _steps(delta: Sequence[dict[str, Any]]) -> list[tuple[int, int, bytes]]:
    steps: list[tuple[int, int, bytes]] = []
    at = 0
    for change in delta:
        if "retain" in change:
            at += change["retain"]
        elif "delete" in change:
            steps.append((at, change["delete"], b""))
        else:
            text = change["insert"].encode()
            steps.append((at, 0, text))
            at += len(text)
    return steps


def _check(text: bytes, splices: Sequence[Splice]) -> None:
    position = 0
    for start, stop, inserted in splices:
        if not position <= start <= stop <= len(text):
            raise DocumentFailed(f"range {start}..{stop} is outside {position}..{len(text)}")
        if not (_on_boundary(text, start) and _on_boundary(text, stop)):
            raise DocumentFailed(f"range {start}..{stop} cuts a character")
        if inserted and inserted[0] & 0xC0 == 0x80:
            raise DocumentFailed("inserted text starts inside a character")
        position = stop


def _on_boundary(text: bytes, offset: int) -> bool:
    return offset == len(text) or text[offset] & 0xC0 != 0x80


def _guarded(call: Callable[[], _T]) -> _T:
    try:
        return call()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic derives from BaseException only
        raise DocumentFailed(f"{type(error).__name__}: {error}") from error
