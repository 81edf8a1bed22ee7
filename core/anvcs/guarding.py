"""What a merged tree must pass before its stream moves: built-in checks, and commands with a time limit.

Commands run in a throw-away place: a view mounted for them, or where that can't be, a plain checkout.
What they print is kept, cut to its end.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from anvcs.bounded import run_bounded
from anvcs.config import MergeConfig
from anvcs.errors import AnvcsError
from anvcs.file_merging import NAMES, SYNTAX
from anvcs.git import commits
from anvcs.git.objects import ObjectStore
from anvcs.git.program import redacted
from anvcs.git.treemerge import virtual_base
from anvcs.guard_places import environment_of, place_for
from anvcs.merging.names import torn_between, torn_inside
from anvcs.merging.wellformed import broken_by_merging
from anvcs.model.ids import Oid
from anvcs.model.merge import How
from anvcs.model.stream_merge import Checked, FileResult, GuardResult, Merged
from anvcs.model.tree import EXECUTABLE, REGULAR, Leaf, TreeChange

BUILT_IN = (SYNTAX, NAMES)
_UNCHANGED = Leaf(0, Oid(b""))
OUTPUT_LIMIT = 16 << 10
"""Bytes of a guard's output that are kept: its end."""


class NoGuards(AnvcsError):
    """Tests were asked for and the configuration names none."""

    def __init__(self) -> None:
        super().__init__("--test-check needs a command in merge.guards of ai-vcs.config.yaml, and none is there")


@dataclass(frozen=True, slots=True)
class Guards:
    """The guards of one configuration."""

    objects: ObjectStore
    config: MergeConfig

    @property
    def built_in(self) -> tuple[str, ...]:
        """Those that are part of this program."""
        return tuple(name for name in BUILT_IN if name in self.config.guards)

    @property
    def commands(self) -> list[str]:
        """Those that are run as programs."""
        return [guard for guard in self.config.guards if guard not in BUILT_IN]

    def require(self) -> None:
        """Raise `NoGuards` when nothing would be run."""
        if not self.commands:
            raise NoGuards

    def run(self, merged: Merged) -> tuple[tuple[GuardResult, ...], tuple[str, ...]]:
        """Every guard's result, the cheap ones first; and what to tell about where they ran.

        A failure of a built-in one keeps the commands from being started.
        """
        results = [self._built_in(name, merged) for name in self.built_in]
        if not self.commands or not all(result.ok for result in results):
            return tuple(results), ()
        with place_for(self.objects, test_commit(self.objects, merged)) as (place, remark):
            limit = float(self.config.guard_timeout_s)
            results += [run_command(command, place, limit, environment_of(place)) for command in self.commands]
        return tuple(results), (remark,) if remark else ()

    def _built_in(self, name: str, merged: Merged) -> GuardResult:
        started = time.monotonic()
        found = list(self._broken(merged) if name == SYNTAX else self._torn(merged))
        output = "\n".join(found)[:OUTPUT_LIMIT]
        return GuardResult(name=name, ok=not found, seconds=time.monotonic() - started, output=output)

    def _broken(self, merged: Merged) -> Iterator[str]:
        """Files that both sides changed, that don't parse, and did on each side."""
        for file, checked in self._mixed(merged):
            path = file.path
            if checked is None:
                line = broken_by_merging(path, self._text(merged, path), b"", self._sides(merged, path))
            else:
                line = checked.broken_line
            if line:
                yield f"{path.decode('utf-8', 'backslashreplace')}:{line}: can't be parsed, and could on both sides"

    def _torn(self, merged: Merged) -> Iterator[str]:
        lost = {}
        for file, checked in self._mixed(merged):
            if not file.path.endswith(b".py"):
                continue
            if checked is not None:
                yield from checked.torn
                lost[file.path] = checked.lost
                continue
            sides = tuple(self._sides(merged, file.path))
            found = torn_inside(file.path, self._text(merged, file.path), self._base(merged, file), sides)
            yield from (one.sentence for one in found)
        if not merged.bases:
            return
        base = virtual_base(self.objects, merged.bases)
        changed = {change.path for side in (merged.ours, merged.theirs) for change in self._diff(base, side)}
        readers = self._reader(base), self._tree_reader(merged.tree)
        sides_read = self._reader(merged.ours), self._reader(merged.theirs)
        yield from (one.sentence for one in torn_between(sorted(changed), *readers, sides_read, lost))

    def _mixed(self, merged: Merged) -> Iterator[tuple[FileResult, Checked | None]]:
        """The files that are neither side's version, and what is known of their content already."""
        for file in merged.files:
            if file.how == How.IDENTICAL or file.disputes:
                continue
            leaf = merged.leaves.get(file.path, _UNCHANGED)
            if file.checked is not None and leaf is not None and leaf.oid == file.checked.oid:
                yield file, file.checked
            elif self._tree_reader(merged.tree)(file.path) is not None:
                yield file, None

    def _text(self, merged: Merged, path: bytes) -> bytes:
        return self._tree_reader(merged.tree)(path) or b""

    def _sides(self, merged: Merged, path: bytes) -> list[bytes]:
        sides = (self._reader(merged.ours)(path), self._reader(merged.theirs)(path))
        return [side for side in sides if side is not None]

    def _base(self, merged: Merged, file: FileResult) -> bytes:
        leaf = file.stages.base if file.stages is not None else None
        if leaf is not None:
            return self.objects.blob(leaf.oid)
        return b"".join(filter(None, (self._reader(base)(file.path) for base in merged.bases)))

    def _diff(self, old: Oid, new: Oid) -> Iterator[TreeChange]:
        return self.objects.diff(self.objects.tree_of(old), self.objects.tree_of(new))

    def _reader(self, commit: Oid) -> Callable[[bytes], bytes | None]:
        return self._tree_reader(self.objects.tree_of(commit))

    def _tree_reader(self, tree: Oid) -> Callable[[bytes], bytes | None]:
        def read(path: bytes) -> bytes | None:
            found = self.objects.find(tree, path)
            return self.objects.blob(found.oid) if found is not None and found.mode in (REGULAR, EXECUTABLE) else None

        return read


def test_commit(objects: ObjectStore, merged: Merged) -> Oid:
    """The merge as a commit that no ref names, to be looked at by programs."""
    who = commits.agent_signature("anvcs")
    return commits.create_commit(
        objects, tree=merged.tree, parents=(merged.ours, merged.theirs), message=b"a merge to be tested\n", author=who, committer=who,
    )  # fmt: skip


def run_command(
    command: str, place: Path, limit_s: float, env: Mapping[str, str] = MappingProxyType({})
) -> GuardResult:
    """Run *command* by a shell at *place*, with all its children, for *limit_s* at most."""
    ran = run_bounded(command, place, limit_s=limit_s, keep=OUTPUT_LIMIT, env=env)
    output = redacted(ran.output.decode("utf-8", "replace"))
    ok = ran.in_time and ran.code == 0
    return GuardResult(name=command, ok=ok, seconds=ran.seconds, output=output, timed_out=not ran.in_time)
