"""ANVCS, the library: rooms of live edits over Git.  No FUSE, no terminal, no web."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anvcs.repository import Repository

__all__ = ["Repository"]


def __getattr__(name: str) -> Any:
    # `import anvcs` happens with every submodule: pygit2 must not come along (start-up < 150 ms).
    if name == "Repository":
        from anvcs.repository import Repository

        return Repository
    raise AttributeError(name)
