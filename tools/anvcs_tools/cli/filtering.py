"""``ai-vcs filter-process``: Git starts it, and asks it about artifacts."""

import argparse
import os
import sys
from pathlib import Path

from anvcs_tools.cli.output import say

_WRITES_ELSEWHERE = frozenset({"archive", "cat-file", "checkout-index"})
"""Commands of Git whose output does not go into the work tree, so a view can't take a pointer for its artifact."""

_LOOKS = frozenset({"blame", "describe", "diff", "diff-files", "diff-index", "grep", "log", "show", "status"})
"""Commands of Git that hash files of the work tree and keep nothing of them."""


def filter_process(_: argparse.Namespace) -> int:
    """Carry on a conversation with Git."""
    from anvcs.artifact_filter import ArtifactFilter, StagedBlobs
    from anvcs.git.filter_protocol import FilterProcess
    from anvcs.repository import Repository

    top = Path.cwd()
    repository = Repository.open(top)
    in_view = repository.store.views in repository.info.git_dir.parents
    staged = StagedBlobs(top)
    with repository.pinning(top) as pinning:
        command = _git_command()
        apart = in_view and command not in _WRITES_ELSEWHERE
        work = ArtifactFilter(pinning, staged, in_view=apart, only_looks=command in _LOOKS)
        FilterProcess(sys.stdin.buffer, sys.stdout.buffer, work, say).serve()
    staged.close()
    return 0


def _git_command() -> str | None:
    """Which command of Git has started this; a shell may stand between."""
    from anvcsfs.gitcommands import command_of, parent_of

    pid = os.getppid()
    return command_of(pid) if command_of(pid) is not None else command_of(parent_of(pid))
