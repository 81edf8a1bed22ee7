"""``.anvcs/commit``: from a message to a commit."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from anvcs.commit_policy import check_policy
from anvcs.committing import CommitResult, NothingToCommit, Plan, StreamBusy, StreamMoved
from anvcs.model.ids import Oid
from anvcs.model.request import CommitRequest, parse_commit_request
from anvcs.model.room import Author
from anvcs.offline import commit_answer
from anvcs.scoping import MINE, plan_own
from anvcs.streams import GitAtWork
from anvcsfs.callers import Asker
from anvcsfs.control.reports import Reports, document
from anvcsfs.control_nodes import ControlHandle
from anvcsfs.later import Later

if TYPE_CHECKING:
    from anvcsfs.table import Table

_USAGE = b"""# Write a message here and close: the first line is the subject.
#   echo 'feat: add parser' | tee .anvcs/commit
# or a YAML or JSON mapping with message, prompt, model, agent, test_report, tests_passed,
# coverage, env, paths, scope (all, mine), allow_empty, no_verify, trailers.  Then read this file: one JSON document.
"""
_ATTEMPTS = 25
_PAUSE_S = 0.01
_PAUSES = 500
_AT_ONCE = 1000
"""Ops that the serving loop reads for a commit; more are read in a thread.  One takes about 20 µs."""
_OPS_A_FILE = 8
"""Reading a changed file's text takes as long as reading so many ops."""


class _Progress:
    """A request between two calls of `CommitRequests.submit`."""

    def __init__(self, request: CommitRequest, asker: Asker) -> None:
        self.request = request
        self.asker = asker
        self.attempts = 0
        self.pauses = 0
        self.base: Oid | None = None
        """What the stream stood on when the request came."""
        self.plan: Plan | None = None
        self.outcome: CommitResult | Exception | None = None

    def plan_own(self, table: "Table") -> None:
        """Plan a commit of the agent's own work, in a thread."""
        view, follower = table.view, table.follower
        author = Author(
            agent=self.request.agent or view.author.agent,
            model=self.request.model or view.author.model,
            view=view.author.view,
        )
        try:
            self.plan = plan_own(
                table.committer,
                view.room.file,
                self.request,
                author,
                open_copy=follower.units.open_copy,
                stream=view.stream,
                detached=view.detached,
            )
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.outcome = error

    def plan_apart(self, table: "Table") -> None:
        """Plan a commit of much, in a thread."""
        view = table.view
        try:
            self.plan = table.committer.prepare_apart(
                view.room, self.request, stream=view.stream, detached=view.detached
            )
        except Exception as error:  # noqa: BLE001 - as in `run`
            self.outcome = error

    def run(self, table: "Table") -> None:
        """The slow part, in a thread; touches Git only."""
        assert self.plan is not None  # submit made it
        try:
            self.outcome = table.committer.execute(replace(self.plan, awaited=self.asker.waits))
        except Exception as error:  # noqa: BLE001 - kept for the serving loop, which raises it to the writer
            self.outcome = error


class CommitRequests:
    """Carries commit requests out, one at a time."""

    def __init__(self, table: "Table", reports: Reports) -> None:
        self._table = table
        self._reports = reports
        self._answered = table.view.room.base
        """The last commit that a request here was told of: what was before it is old news."""
        self.policy = ""
        """The configuration's ``agent.commit_policy``."""

    def usage(self) -> bytes:
        """What the file shows before the first request."""
        return _USAGE

    def submit(self, handle: ControlHandle, data: bytes) -> bytes:
        """Make a commit of the room, or of a part of it."""
        state = handle.state
        if not isinstance(state, _Progress):
            request = parse_commit_request(data)
            check_policy(self.policy, request)
            state = handle.state = _Progress(request, Asker(handle.pid))
        if state.outcome is None:
            if state.plan is not None:
                self._execute(state)
            self._start(state)
        outcome = state.outcome
        if isinstance(outcome, CommitResult):
            # What this raises (the room is busy, a file is to be hashed) brings us back to this commit.
            self._table.follower.committed(outcome)
            self._table.follower.committing = False
            self._answered = outcome.commit
            return document(commit_answer(outcome))
        state.outcome = None
        self._table.follower.committing = False
        if isinstance(outcome, StreamMoved):
            self._table.follower.follow()
            if state.attempts < _ATTEMPTS:
                state.plan = None
                self._start(state)
            raise StreamBusy(outcome.stream)
        assert outcome is not None  # _start raised otherwise
        taken = self._taken_by(state) if isinstance(outcome, NothingToCommit) else None
        if taken is None:
            raise outcome
        return self._taken(state, taken)

    def _taken_by(self, state: _Progress) -> Oid | None:
        """The commit that was faster, and has what this one was to take."""
        view, request = self._table.view, state.request
        head, since = view.room.base, self._answered
        self._answered = head
        if head is None:
            return None
        if state.attempts > 1 and head != state.base:
            return head
        if request.paths:
            return None  # it may have taken others
        return self._table.committer.find_credit(request.agent or view.author.agent, head, since)

    def _taken(self, state: _Progress, commit: Oid) -> bytes:
        """The answer of who finds its work committed by another."""
        note = f"the commit {commit.hex()}, made by another meanwhile, has this work already"
        return document(
            {
                "ok": True,
                "commit": commit.hex(),
                "stream": self._table.view.stream,
                "subject": state.request.message.split("\n", 1)[0],
                "paths": [],
                "contributors": [],
                "duration_ms": 0.0,
                "notes": [note],
            }
        )

    def gave_up(self, handle: ControlHandle) -> bytes | None:
        """The room was busy for too long: the answer if there is a commit nevertheless, which the room takes in later."""
        follower = self._table.follower
        follower.committing = False
        outcome = handle.state.outcome if isinstance(handle.state, _Progress) else None
        if not isinstance(outcome, CommitResult):
            return None
        follower.behind = outcome
        return document(commit_answer(outcome))

    def _start(self, state: _Progress) -> None:
        table = self._table
        table.follower.adopt_forced()
        table.save_open_files()
        table.publisher.publish_all()
        table.follower.sync()
        if table.follower.units.unit is not None:
            self._wait_for_git(state)
        if table.follower.waiting_since is not None:  # another view brings the room along first
            raise Later(lambda: time.sleep(_PAUSE_S))
        if not state.attempts:
            state.base = table.view.room.base
        state.attempts += 1
        table.follower.committing = True
        if state.request.scope == MINE:
            raise Later(lambda: state.plan_own(table))
        files, ops = table.view.room.uncommitted
        if files * _OPS_A_FILE + ops > _AT_ONCE:
            raise Later(lambda: state.plan_apart(table))
        state.plan = table.committer.prepare(
            table.view.room, state.request, stream=table.view.stream, detached=table.view.detached
        )
        self._execute(state)

    def _execute(self, state: _Progress) -> NoReturn:
        raise Later(lambda: state.run(self._table))

    def _wait_for_git(self, state: _Progress) -> NoReturn:
        """What a command of Git is writing is not the room's yet."""
        state.pauses += 1
        if state.pauses > _PAUSES:
            raise GitAtWork
        raise Later(lambda: time.sleep(_PAUSE_S))
