"""One save of a text: from what its writer saw to an edit of what is there now.

The log's lock is held and every earlier op is taken in, so a save from a stale read is
merged here and written as an edit of the current document.  Writing it on a fork of the
old document was rejected: each such save needs a client id of its own, which a document
carries for ever, and where two edits meet inside a word the result is nobody's text.
"""

from collections.abc import Sequence
from typing import NamedTuple

from anvcs.linediff import split_lines
from anvcs.model.conflict import Side
from anvcs.model.ids import Seq
from anvcs.model.room import Content, Entry
from anvcs.model.tree import SYMLINK
from anvcs.rooms.core import Core, Unchecked
from anvcs.rooms.diffing import diff
from anvcs.rooms.documents import Document, DocumentFailed, seed
from anvcs.rooms.draft import Draft
from anvcs.rooms.records import DocumentPart
from anvcs.rooms.settling import settle, who_wrote
from anvcs.rooms.texts import Version
from anvcs.rooms.threeway import Clash, Merged, changed_lines, merge
from anvcs.rooms.versions import Text, as_text, content_at

_MOST_RECORDS = 20
"""Conflicts that one save may tell apart; the last one stands for the others."""


class Seen(NamedTuple):
    """What a writer may have seen."""

    base: Seq | None = None
    """The version that was read; ``None``: the current one."""
    had: bytes | None = None
    """The text itself, when no version has it: what the writer saved before others' edits were merged in."""
    doubts: tuple[Seq, ...] = ()
    """Other versions that it may have been."""


class TextSave:
    """One save, inside a draft."""

    def __init__(self, core: Core, draft: Draft, entry: Entry, path: bytes, *, live: bool) -> None:
        self._core = core
        self._draft = draft
        self._entry = entry
        self._path = path
        self._is_live = live
        """Whether the room has *entry*, at a path."""
        self._result: Text | None = None

    def run(self, new: Text, seen: Seen) -> Text:
        """Edit the document so that it gets what the writer meant; its text after it."""
        if seen.had is not None and (had := as_text(seen.had, self._core.settings.text_limit)) is not None:
            return self.merge(new, had, Seq(0))
        past = self._past(seen.base)
        doubts = [each for base in seen.doubts if base != seen.base and (each := self._past(base) or self._now())]
        return self.merge(new, past, seen.base, doubts)

    def merge(self, new: Text, past: Text | None, base: Seq | None, doubts: Sequence[Text] = ()) -> Text:
        """Edit the document as who saw *past* (``None``: what is shown) and wants *new*."""
        file = self._entry.id
        self._draft.edited.add(file)
        try:
            return self._edit(new, past, base, doubts)
        except DocumentFailed:
            # Nothing of the document can be trusted: it starts again from the text that it should have.
            self._core.docs.forget(file)
            return self._start_again(self._result or new)

    def _edit(self, new: Text, past: Text | None, base: Seq | None, doubts: Sequence[Text]) -> Text:
        live, now, part = self._current()
        if self._shown() is None:  # a link or an opaque value is there now: nothing to merge with
            past, doubts = None, ()
        seen = now if past is None else past
        hunks = self._core.settings.hunks
        merged = merge(seen.text, now.text, new.text, hunks)
        crlf = _line_ends(seen.crlf, now.crlf, new.crlf) if past is not None else now.crlf
        if past is None and new.crlf is not None:
            crlf = new.crlf
        merged = self._least_loss(now, new, merged, doubts)
        text = self._result = Text(merged.text, crlf)
        found = diff(now.text, text.text, hunks)
        self._draft.added += found.added
        self._draft.removed += found.removed
        updates = live.document.edit(now.text, found.splices) if found.splices else ()
        live.text = text.text
        self._record(live, part._replace(client=live.document.client, updates=updates))
        for clash in merged.clashes[:_MOST_RECORDS]:
            self._tell_lines(clash, base, len(merged.clashes) - _MOST_RECORDS)
        settle(self._core, self._draft, self._entry.id, seen.text, new.text, base)
        self._note_unchecked(now, new, text, base)
        return text

    # --- what the writer saw

    def _past(self, base: Seq | None) -> Text | None:
        """What the writer saw, unless that is what is shown now."""
        core, entry = self._core, self._entry
        if base is None or base >= core.seq:
            return None
        if self._is_live:
            if entry.content_seq <= base:
                return None
        elif not self._changed_outside(base):
            return None
        past = content_at(core, entry.id, base, entry.base_path)
        return as_text(past.data, core.settings.text_limit)  # of what was opaque there is nothing to compare with

    def _changed_outside(self, base: Seq) -> bool:
        """Whether a file that is no live entry may have looked different at *base*."""
        log, seq = self._core.log, self._core.seq
        touched = any(flags for _, flags in log.touches(self._entry.id, base))
        return touched or log.base_moved(base, seq)

    def _least_loss(self, now: Text, new: Text, best: Merged, doubts: Sequence[Text]) -> Merged:
        """Of the results that the writer may have meant, the one that keeps the most of what is there."""
        hunks = self._core.settings.hunks
        others = [merge(past.text, now.text, new.text, hunks) for past in doubts]
        differing = [other for other in others if other.text != best.text]
        if not differing:
            return best
        found = min((best, *differing), key=lambda each: (_lost(now.text, each.text), -len(each.text)))
        other = next(each for each in (best, *differing) if each.text != found.text)
        self._tell_unsure(found.text, other.text)
        return found

    # --- the document

    def _current(self) -> tuple[Version, Text, DocumentPart]:
        """The live document, brought to what is shown now, and the part of the record so far."""
        core, entry = self._core, self._entry
        live = core.docs.head(entry.id, core.seq)
        shown = self._shown()
        if live is None:
            start = () if shown is None or not shown.text else (seed(shown.text),)
            live = Version(Document(), 0, core.seq)
            live.document.apply(start)
            live.text = shown.text if shown else b""
            part = DocumentPart(entry.id, 0, True, start, 0, ())
            return live, shown or Text(b"", None), part
        part = DocumentPart(entry.id, live.epoch, False, (), 0, ())
        if shown is None:
            return live, Text(live.read(), None), part
        renewed = core.docs.renewed(entry.id, live, shown.text)
        if renewed is not None:
            start = (seed(shown.text),) if shown.text else ()
            return renewed, shown, DocumentPart(entry.id, renewed.epoch, True, start, 0, ())
        if entry.content is not Content.TEXT and shown.text != live.read():
            found = diff(live.read(), shown.text, core.settings.hunks)
            part = part._replace(prelude=live.document.edit(live.read(), found.splices))
            live.text = shown.text
        return live, shown, part

    def _now(self) -> Text:
        return self._shown() or Text(b"", None)

    def _shown(self) -> Text | None:
        """What the file shows, when that is a text."""
        core, entry = self._core, self._entry
        if entry.content is Content.TEXT:
            version = core.docs.head(entry.id, core.seq)
            return Text(version.read() if version else b"", bool(entry.ref))
        if entry.content in (Content.NONE, Content.INLINE) or entry.mode == SYMLINK:
            return None
        if entry.size > core.settings.text_limit:
            return None
        return as_text(core.read(entry), core.settings.text_limit)

    def _record(self, live: Version, part: DocumentPart) -> None:
        core, file = self._core, part.id
        live.seq = self._draft.seq
        live.updates += len(part.updates) + len(part.prelude)
        core.docs.keep(file, live)
        self._draft.docs.append(part)

    def _start_again(self, new: Text) -> Text:
        core, file = self._core, self._entry.id
        last = core.log.touch_before(file, core.seq)
        epoch = 0
        if last is not None:
            parts = [part for op in core.log.edits(file, Seq(0), core.seq) for part in op.payload.docs]
            epoch = 1 + max((part.epoch for part in parts if part.id == file), default=-1)
        start = (seed(new.text),) if new.text else ()
        live = Version(Document(), epoch, core.seq)
        live.document.apply(start)
        live.text = new.text
        self._record(live, DocumentPart(file, epoch, True, start, 0, ()))
        return new

    # --- conflicts

    def _tell_lines(self, clash: Clash, base: Seq | None, left_out: int) -> None:
        draft = self._draft
        note = "edited by two in the same place: look whether both edits make sense together"
        if left_out > 0 and len(draft.conflicts) == _MOST_RECORDS - 1:
            note += f"; {left_out} more places like this are not listed"
        theirs = who_wrote(self._core, self._entry.id, base, clash.now)
        sides = [theirs, self._mine(clash.new)]
        lines = clash.first_line, clash.last_line
        draft.conflict("lines", self._entry.id, self._path, sides, note, lines=lines)

    def _tell_unsure(self, kept: bytes, other: bytes) -> None:
        left, right = split_lines(kept), split_lines(other)
        note = "it is not known which version the writer had read: the text that may have been deleted on purpose stays"
        for a0, a1, b0, b1 in changed_lines(kept, other, self._core.settings.hunks)[:_MOST_RECORDS]:
            sides = [
                who_wrote(self._core, self._entry.id, None, b"".join(left[a0:a1])),
                self._mine(b"".join(right[b0:b1])),
            ]
            lines = a0 + 1, max(a1, a0 + 1)
            self._draft.conflict("base-unsure", self._entry.id, self._path, sides, note, lines=lines)

    def _mine(self, text: bytes) -> Side:
        author = self._draft.author
        return Side(agent=author.agent, model=author.model, text=text)

    def _note_unchecked(self, now: Text, new: Text, merged: Text, base: Seq | None) -> None:
        core = self._core
        about_parsing = core.conflicts.of(self._entry.id, "parse")
        if core.settings.broken is None or (merged.text in {now.text, new.text} and not about_parsing):
            return
        theirs = who_wrote(core, self._entry.id, base, b"")
        core.unchecked.append(
            Unchecked(
                self._entry.id,
                self._path,
                self._draft.seq,
                now.text,
                new.text,
                merged.text,
                (theirs, self._mine(b"")),
            )
        )


def _lost(now: bytes, text: bytes) -> int:
    return sum(stop - start for start, stop, _ in diff(now, text).splices)


def _line_ends(seen: bool | None, now: bool | None, new: bool | None) -> bool:
    """The line ends after a merge: what one side changed wins."""
    return bool(now if new is None or new == seen else new)
