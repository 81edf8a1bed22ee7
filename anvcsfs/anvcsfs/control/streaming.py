"""``.anvcs/stream``: which stream the view shows, and switching it to another one."""

import json
from typing import TYPE_CHECKING

from anvcs.git import admin, index_switch
from anvcs.git.refs import BadRefName, check_name
from anvcs.model.ids import Oid
from anvcs.model.request import BadRequest
from anvcs.repository import NoSuchStream, NothingCommitted, StreamExists, StreamNameInvalid
from anvcs.streams import GitAtWork, OperationUnderWay
from anvcsfs.control.reports import document
from anvcsfs.control_nodes import ControlHandle
from anvcsfs.later import Later

if TYPE_CHECKING:
    from anvcsfs.table import Table

_MAX_BYTES = 64 << 10
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}


class _Switch:
    """A request between two calls of `StreamRequests.submit`."""

    def __init__(self, name: str, *, create: bool) -> None:
        self.name = name
        self.create = create
        self.before: tuple[str, Oid | None, bool] | None = None
        self.failure: Exception | None = None
        self.done = False


class StreamRequests:
    """Carries requests to switch out."""

    def __init__(self, table: "Table") -> None:
        self._table = table

    def submit(self, handle: ControlHandle, data: bytes) -> bytes:
        """Switch to the stream that *data* names: Git's HEAD first, then the files."""
        state = handle.state
        if not isinstance(state, _Switch):
            state = handle.state = _parsed(data)
        follower, view = self._table.follower, self._table.view
        if state.before is None:
            self._prepare(state)
            if not state.create and (view.stream, view.detached) == (state.name, False):
                return self._answer(state, switched=False)
            state.before = view.stream, view.room.base, view.detached
            follower.switching = True
        if not state.done:
            raise Later(lambda: self._move_head(state))
        try:
            if state.failure is not None:
                raise state.failure
            follower.follow()
        finally:
            follower.switching = False
        self._bring_index(state)
        return self._answer(state, switched=True)

    def _prepare(self, state: _Switch) -> None:
        """Everything that may say no."""
        table, follower, view = self._table, self._table.follower, self._table.view
        follower.follow()
        if follower.index.waiting:
            raise Later(follower.index.run)
        if follower.units.unit is not None or admin.git_holds_lock(follower.admin_dir):
            raise GitAtWork
        for name, what in _UNDER_WAY.items():
            if (follower.admin_dir / name).exists():
                raise OperationUnderWay(what)
        exists = view.refs.get(f"refs/heads/{state.name}") is not None
        if state.create and exists:
            raise StreamExists(state.name)
        if state.create and view.room.base is None:
            raise NothingCommitted
        if not state.create and not exists:
            raise NoSuchStream(state.name)
        table.save_open_files()
        table.publisher.publish_all()

    def _move_head(self, state: _Switch) -> None:
        """In a thread: Git's refs, which everything else follows."""
        view, directory = self._table.view, self._table.follower.admin_dir
        try:
            if state.create:
                start = view.room.base
                if start is None:
                    raise NothingCommitted
                view.refs.move(f"refs/heads/{state.name}", start, None, f"branch: Created from {start.hex()}")
            before = state.before[0] if state.before else ""
            head = admin.Branch(f"refs/heads/{state.name}")
            admin.set_head(directory, head, f"checkout: moving from {before} to {state.name}")
        except Exception as error:  # noqa: BLE001 - kept for the serving loop, which raises it to the writer
            state.failure = error
        state.done = True

    def _bring_index(self, state: _Switch) -> None:
        follower, base = self._table.follower, self._table.view.room.base
        stream, old, detached = state.before or ("", None, False)
        if base is None:
            return
        old_index = ("HEAD" if detached else stream, None if detached else old)

        def bring() -> None:
            index_switch.switch(follower.admin_dir, old_index, (state.name, base))
            follower.note_index(base)

        follower.index.add(bring)

    def _answer(self, state: _Switch, *, switched: bool) -> bytes:
        base = self._table.view.room.base
        return document({"ok": True, "stream": state.name, "base": base.hex() if base else None, "switched": switched})


def _parsed(data: bytes) -> _Switch:
    if len(data) > _MAX_BYTES:
        raise BadRequest("the name of a stream is shorter")
    text = data.decode("utf-8", "surrogateescape").strip()
    create: object = False
    if text.startswith("{"):
        text, create = _mapped(text)
    if not text:
        raise BadRequest("name the stream to switch to")
    if "\n" in text or not isinstance(create, bool):
        raise BadRequest("write one line with the name of a stream, or a JSON mapping with stream and create")
    try:
        check_name(f"refs/heads/{text}")
    except BadRefName:
        raise StreamNameInvalid(text) from None
    return _Switch(text, create=create)


def _mapped(text: str) -> tuple[str, object]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the JSON can't be read: {error}") from None
    unknown = sorted(fields.keys() - {"stream", "create"})
    if unknown:
        raise BadRequest(f"unknown key {unknown[0]!r}: a switch takes stream and create")
    name = fields.get("stream", "")
    if not isinstance(name, str):
        raise BadRequest("stream is the name of a stream")
    return name.strip(), fields.get("create", False)
