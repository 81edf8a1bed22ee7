"""Consent to commands that a committed configuration names: nothing is run that nobody on this machine has agreed to.

Whoever can push a commit can write ``ai-vcs.config.yaml``.  So a command counts only after somebody here has
agreed to its very text (``ai-vcs trust``), or has told Git that this isn't wanted (``anvcs.trustCommands``,
a setting that no commit carries).  What was agreed to is in the store, where hooks could be written as well.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from anvcs.auditing import now
from anvcs.config import MergeConfig
from anvcs.errors import AnvcsError
from anvcs.file_merging import NAMES, SYNTAX
from anvcs.git.config import Configuration
from anvcs.repository import Repository

GUARD, ASSISTANT, LOCK = "guard", "assistant", "lock file"
_FILE = "trusted-commands.jsonl"
_SETTING = "anvcs.trustCommands"


class Command(NamedTuple):
    """Something that a configuration wants to be run, or to be asked over the network."""

    kind: str
    text: str

    @property
    def digest(self) -> str:
        """What tells it from all others."""
        return hashlib.sha256(f"{self.kind}\0{self.text}".encode("utf-8", "surrogateescape")).hexdigest()


class CommandsNotTrusted(AnvcsError):
    """The committed configuration names commands that nobody on this machine has agreed to."""

    def __init__(self, stream: str, commands: Iterable[Command]) -> None:
        self.commands = tuple(commands)
        listed = "; ".join(f"{one.kind}: {one.text}" for one in self.commands)
        super().__init__(
            f"the configuration of {stream} names commands that nobody here has agreed to ({listed}). Nothing was run."
            f" Look at them, then: ai-vcs trust --stream {stream}"
        )


def commands_of(config: MergeConfig) -> tuple[Command, ...]:
    """Everything that *config* wants to be run."""
    guards = [Command(GUARD, text) for text in config.guards if text not in (SYNTAX, NAMES)]
    guards += [Command(LOCK, text) for text in config.locks]
    return (*guards, *([Command(ASSISTANT, config.assistant)] if config.assistant else []))


def untrusted(repository: Repository, commands: Iterable[Command]) -> tuple[Command, ...]:
    """Those of *commands* that nobody has agreed to."""
    wanted = tuple(dict.fromkeys(commands))
    if not wanted or trusts_all(repository):
        return ()
    known = _known(repository)
    return tuple(one for one in wanted if one.digest not in known)


def require_trust(repository: Repository, stream: str, commands: Iterable[Command]) -> None:
    """Raise `CommandsNotTrusted` unless all of *commands* may be run."""
    missing = untrusted(repository, commands)
    if missing:
        raise CommandsNotTrusted(stream, missing)


def trusts_all(repository: Repository) -> bool:
    """Whether Git is told that every command may be run, as in a container that is thrown away."""
    settings = Configuration(repository.info.git_dir, repository.info.common_dir)
    return settings.get_bool(_SETTING, default=False)


def trust(repository: Repository, commands: Iterable[Command], who: str) -> None:
    """Remember that *commands* may be run in this repository, on this machine."""
    lines = [
        json.dumps({"sha256": one.digest, "kind": one.kind, "command": one.text, "by": who, "time": now()}) + "\n"
        for one in untrusted(repository, commands)
    ]
    descriptor = os.open(repository.store.root / _FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "a", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  # of a descriptor
        file.writelines(lines)


def distrust(repository: Repository) -> None:
    """Forget everything that was agreed to."""
    (repository.store.root / _FILE).unlink(missing_ok=True)


def _known(repository: Repository) -> set[str]:
    try:
        text = (repository.store.root / _FILE).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return set()
    known = set()
    for line in text.splitlines():
        try:
            known.add(str(json.loads(line)["sha256"]))
        except (ValueError, KeyError, TypeError):  # a line that was cut off by a crash says nothing
            continue
    return known
