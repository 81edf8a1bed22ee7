"""``ai-vcs`` alone: what to do next, here."""

import argparse
import os
from pathlib import Path

from anvcs.mounts import mount_of


def welcome(_: argparse.Namespace) -> int:
    """Say what to do next; looks at the directory and opens nothing."""
    here = Path(os.path.realpath(Path.cwd()))
    for line in _advice(here):
        print(line)
    print("\nAll commands: ai-vcs --help")
    return 0


def _advice(here: Path) -> list[str]:
    mount = mount_of(here)
    if mount is not None and mount.is_view:
        return [
            f"You are in a view, mounted at {mount.path}. Edit with any tool, then:",
            "  ai-vcs status                what is not committed yet",
            '  ai-vcs commit -m "message"   commit it',
            "  ai-vcs log                   what was committed, by whom and how",
        ]
    git_dir = _git_dir(here)
    if git_dir is None:
        return ["This is not in a Git repository. Go to one, or make one:", "  git init project && cd project"]
    if not (git_dir / "anvcs" / "version").exists():
        return ["This is a Git repository. Prepare it for views (nothing in its history changes):", "  ai-vcs init"]
    return [
        "This repository is ready.",
        "  ai-vcs mount DIR             see it as a file system at DIR",
        "  ai-vcs views                 the views there are",
        "  ai-vcs status                what is not committed yet",
    ]


def _git_dir(here: Path) -> Path | None:
    """The common Git directory around *here*, as far as that is plain to see without asking Git."""
    for folder in (here, *here.parents):
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            return folder
        dot_git = folder / ".git"
        if dot_git.is_dir():
            return dot_git
        if dot_git.is_file():
            target = folder / dot_git.read_text(errors="surrogateescape").removeprefix("gitdir:").strip()
            common = target / "commondir"
            return target / common.read_text().strip() if common.exists() else target
    return None
