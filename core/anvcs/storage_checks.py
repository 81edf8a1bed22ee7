"""``ai-vcs storage check`` and ``doctor``: is the store ready, and if not, why."""

import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from anvcs.artifact_access import Artifacts
from anvcs.artifacts.checks import Check, check_store
from anvcs.artifacts.errors import ArtifactError
from anvcs.config import SECTIONS, Config
from anvcs.model.ids import Oid
from anvcs.model.secret import Secret
from anvcs.ownership import Ownership
from anvcs.pinned import pinned
from anvcs.repository import Repository

_SHOWN = 5


def check_storage(repository: Repository, config: Config, artifacts: Artifacts, commit: Oid | None) -> Iterator[Check]:
    """Everything that must hold before artifacts work; each as it is found out."""
    warnings = [warning for warning in config.warnings if "adapters" in warning or "environment" in warning]
    yield Check("configuration", True, "; ".join(warnings) or f"storage.mode is {config.storage.mode}")
    if commit is not None:
        yield _owners(repository, config, commit)
        yield _patterns(repository, config, commit)
    try:
        store = artifacts.store
    except ArtifactError as error:
        yield Check("store", False, str(error))
        return
    yield Check("store", True, store.name)
    yield from check_store(store, artifacts.cache.scratch())
    yield _queue(artifacts)


def _owners(repository: Repository, config: Config, commit: Oid) -> Check:
    """Whether Git LFS and ``blobs.track`` claim the same files."""
    lfs = repository.lfs_paths(commit)
    rules = Ownership(config.blobs.track, lfs)
    tree = repository.objects.tree_of(commit)
    both = (
        [path for path, _, _ in repository.objects.walk(tree) if rules.claimed_twice(path)]
        if config.blobs.track
        else []
    )
    if not both:
        return Check("owners", True, "no file is claimed by both Git LFS and blobs.track")
    return Check("owners", False, f"claimed by both Git LFS (which has them) and blobs.track: {_some(both)}")


def _patterns(repository: Repository, config: Config, commit: Oid) -> Check:
    """Whether Git is asked about every artifact: it goes by patterns, views go by what a blob is."""
    rules = Ownership(config.blobs.track)
    by_name = not config.blobs.max_git_size
    outside = [one.path for one in pinned(repository.objects, commit) if not rules.tracked(one.path)] if by_name else []
    if not outside:
        return Check("patterns", True, "every artifact of the last commit has a pattern")
    told = f"artifacts that no pattern of blobs.track matches: {_some(outside)}"
    return Check("patterns", True, f"{told}; in a new checkout they are pointers until `ai-vcs artifacts fetch`")


def _some(paths: list[bytes]) -> str:
    shown = ", ".join(path.decode("utf-8", "backslashreplace") for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")


def _queue(artifacts: Artifacts) -> Check:
    waiting = artifacts.unsent()
    if not waiting:
        return Check("queue", True, "nothing waits for an upload")
    return Check("queue", True, f"{len(waiting)} objects wait for an upload: ai-vcs retry-uploads")


def diagnosis(config: Config, artifacts: Artifacts) -> dict[str, Any]:
    """The set-up in effect, without secrets."""
    names = [name for name in SECTIONS if name.partition(".")[0] in {"storage", "blobs", "adapters"}]
    found: dict[str, Any] = {"configuration": {name: _shown(config, name) for name in names}}
    try:
        store = artifacts.store
        details = getattr(store, "details", None)
        found["store"] = {"name": store.name} | (details() if details is not None else {})
    except ArtifactError as error:
        found["store"] = {"problem": str(error)}
    found["cache"] = {
        "folder": os.fspath(artifacts.cache.root),
        "bytes": sum(entry.size for entry in artifacts.cache.entries()),
        "limit": artifacts.cache.limit,
    }
    return found


def _shown(config: Config, section: str) -> dict[str, Any]:
    values: Any = config
    for name in section.split("."):
        values = getattr(values, name)
    shown = {item.name: getattr(values, item.name) for item in fields(values)}
    return {name: repr(value) if isinstance(value, Secret) else value for name, value in shown.items()}
