"""``.anvcs/commit``: from a message to a commit."""

from typing import TYPE_CHECKING

from anvcs.commit_policy import check_policy
from anvcs.committing import CommitResult, Plan, StreamBusy, StreamMoved
from anvcs.model.request import CommitRequest, parse_commit_request
from anvcs.offline import commit_answer
from anvcsfs.control.reports import Reports, document
from anvcsfs.control_nodes import ControlHandle
from anvcsfs.later import Later

if TYPE_CHECKING:
    from anvcsfs.table import Table

_USAGE = b"""# Write a message here and close: the first line is the subject.
#   echo 'feat: add parser' | tee .anvcs/commit
# or a YAML or JSON mapping with message, prompt, model, agent, test_report, tests_passed,
# coverage, env, paths, allow_empty, no_verify, trailers.  Then read this file: one JSON document.
"""
_ATTEMPTS = 5


class _Progress:
    """A request between two calls of `CommitRequests.submit`."""

    def __init__(self, request: CommitRequest) -> None:
        self.request = request
        self.attempts = 0
        self.plan: Plan | None = None
        self.outcome: CommitResult | Exception | None = None

    def run(self, table: "Table") -> None:
        """The slow part, in a thread; touches Git only."""
        assert self.plan is not None  # submit made it
        try:
            self.outcome = table.committer.execute(self.plan)
        except Exception as error:  # noqa: BLE001 - kept for the serving loop, which raises it to the writer
            self.outcome = error


class CommitRequests:
    """Carries commit requests out, one at a time."""

    def __init__(self, table: "Table", reports: Reports) -> None:
        self._table = table
        self._reports = reports
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
            state = handle.state = _Progress(request)
        if state.outcome is None:
            self._start(state)
        outcome = state.outcome
        if isinstance(outcome, CommitResult):
            # What this raises (the room is busy, a file is to be hashed) brings us back to this commit.
            self._table.follower.committed(outcome)
            self._table.follower.committing = False
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
        raise outcome

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
        table.follower.follow()
        state.attempts += 1
        state.plan = table.committer.prepare(
            table.view.room, state.request, stream=table.view.stream, detached=table.view.detached
        )
        table.follower.committing = True
        raise Later(lambda: state.run(table))
