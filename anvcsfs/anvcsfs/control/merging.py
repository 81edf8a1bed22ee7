"""``.anvcs/merge`` and ``.anvcs/reviews/``: merging a stream into the view's, and what was refused."""

import time
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from anvcs.concluding import awaiting_review, review_page
from anvcs.model.merge_request import MergeRequest, parse_merge_request
from anvcs.model.request import BadRequest
from anvcs.proposals import Stored
from anvcs.repository import Repository
from anvcs.stream_merging import Outcome, merge_streams
from anvcs.streams import GitAtWork
from anvcsfs.control.reports import document
from anvcsfs.control_nodes import ControlDir, ControlFile, ControlHandle
from anvcsfs.later import Later
from anvcsfs.nodes import Dir, Node

if TYPE_CHECKING:
    from anvcsfs.table import Table

_USAGE = b"""# Write a line here and close: the stream to merge, and options as for `ai-vcs merge`.
#   echo 'parser --test-check' | tee .anvcs/merge
#   echo 'parser into main --dry-run' | tee .anvcs/merge
# or a JSON mapping with source, into, strategy, message, dry_run, no_commit, test_check, auto.
# Without `into` the view's stream moves.  Then read this file: one JSON document.
"""
_PAUSE_S = 0.01
_PAUSES = 500
_SUFFIX = b".md"


class _Merge:
    """A request between two calls of `MergeRequests.submit`."""

    def __init__(self, request: MergeRequest) -> None:
        self.request = request
        self.pauses = 0
        self.outcome: Outcome | Exception | None = None

    def run(self, open_repository: Callable[[], Repository]) -> None:
        """The slow part, in a thread: with a repository of its own."""
        try:
            self.outcome = merge_streams(open_repository(), self.request)
        except Exception as error:  # noqa: BLE001 - kept for the serving loop, which raises it to the writer
            self.outcome = error


class MergeRequests:
    """Carries requests to merge out, and shows what waits for a review."""

    def __init__(self, table: "Table", number: Callable[[], int], take: Callable[[Node], None]) -> None:
        self._table = table
        self._number = number
        self._take = take
        self.open_repository: Callable[[], Repository] | None = None
        """Set by who knows where the repository is."""
        self._reading: Repository | None = None
        self._nodes: dict[bytes, Node] = {}

    def usage(self) -> bytes:
        """What the file shows before the first request."""
        return _USAGE

    def submit(self, handle: ControlHandle, data: bytes) -> bytes:
        """Merge as *data* says."""
        state = handle.state
        if not isinstance(state, _Merge):
            state = handle.state = _Merge(self._completed(parse_merge_request(data)))
        if state.outcome is None:
            self._start(state)
        follower = self._table.follower
        follower.follow()
        follower.sync()
        if isinstance(state.outcome, Exception):
            raise state.outcome
        assert state.outcome is not None  # _start raised otherwise
        return document(state.outcome.document())

    def _completed(self, request: MergeRequest) -> MergeRequest:
        view = self._table.view
        if not request.into and view.detached:
            raise BadRequest("the view's HEAD is on no stream: say into which one, SRC into DST")
        return replace(
            request,
            into=request.into or view.stream,
            agent=request.agent or view.author.agent,
            model=request.model or view.author.model,
        )

    def _start(self, state: _Merge) -> None:
        table = self._table
        table.save_open_files()
        table.publisher.publish_all()  # what lies in this view only is to be carried over, too
        table.follower.sync()
        if table.follower.units.unit is not None:
            state.pauses += 1
            if state.pauses > _PAUSES:
                raise GitAtWork
            raise Later(lambda: time.sleep(_PAUSE_S))
        open_repository = self.open_repository
        assert open_repository is not None  # a view is assembled before it serves
        raise Later(lambda: state.run(open_repository))

    # Reviews

    def reviews(self, top: Dir) -> ControlDir:
        """The directory ``reviews``: a page for each merge that was refused."""
        return ControlDir(self._number(), top, b"reviews", self._find, lambda: sorted(self._pages()))

    def _pages(self) -> dict[bytes, Stored]:
        if self._reading is None and self.open_repository is not None:
            self._reading = self.open_repository()
        waiting = awaiting_review(self._reading) if self._reading is not None else []
        return {_file_name(stored.proposal.name): stored for stored in waiting}

    def _find(self, parent: ControlDir, name: bytes) -> Node | None:
        if name not in self._pages():
            return None
        known = self._nodes.get(name)
        if known is not None and self._table.inodes.has(known):
            return known
        node = ControlFile(self._number(), parent, name, lambda: self._page(name))
        self._take(node)
        self._nodes = {each: kept for each, kept in self._nodes.items() if self._table.inodes.has(kept)}
        self._nodes[name] = node
        return node

    def _page(self, name: bytes) -> bytes:
        stored = self._pages().get(name)
        if stored is None:  # decided meanwhile
            return b""
        return review_page(stored).encode("utf-8", "backslashreplace")


def _file_name(proposal: str) -> bytes:
    return urllib.parse.quote(proposal, safe="", errors="surrogateescape").encode("ascii") + _SUFFIX
