"""How merges by structure compare with Git's and with what people made of the same changes.

``python -m anvcs_tools.bench replay-merges REPO…`` takes the two-parent merges of
repositories; ``--versions DIR DIR …`` deals the changes between versions of a package out
to two sides.  Git's own answers come from one ``git merge-tree`` over all cases.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from anvcs.merging import merge_file
from anvcs.model.merge import MergeResult
from anvcs_tools.bench.deals import Case, dealt, real_merges

_TIMEOUT_S = 900


class Answer(NamedTuple):
    """What Git makes of a case."""

    clean: bool
    content: bytes


class Row(NamedTuple):
    """One case merged both ways."""

    case: Case
    git: Answer
    ours: MergeResult
    seconds: float

    @property
    def verdict(self) -> str:
        """In a few words how ours compares."""
        ours = "conflict" if self.ours.conflicts else _compared(self.ours.content, self.case.wanted)
        if not self.git.clean:
            return f"git conflict, ours {ours}"
        right = "right" if self.git.content == self.case.wanted else "other"
        same = "same" if self.ours.clean and self.ours.content == self.git.content else ours
        return f"git clean and {right}, ours {same}"


def _compared(ours: bytes, wanted: bytes) -> str:
    if ours == wanted:
        return "exact"
    lines = [sorted(line for line in text.split(b"\n") if line.strip()) for text in (ours, wanted)]
    return "in another order" if lines[0] == lines[1] else "different"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table for each language."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench replay-merges", description=__doc__)
    parser.add_argument("repos", nargs="*", type=Path, metavar="REPO", help="a Git repository with merge commits")
    parser.add_argument(
        "--versions", nargs="+", type=Path, action="append", default=[], metavar="DIR",
        help="directories with versions of one package, oldest first (repeatable)",
    )  # fmt: skip
    parser.add_argument("--times", type=int, default=2, help="how often each change is dealt out (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the dealing (%(default)s)")
    parser.add_argument("--most", type=int, default=5000, help="cases to look at (%(default)s)")
    parser.add_argument("--suffix", action="append", default=[], help="only files whose names end so (repeatable)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the cases that differ there")
    options = parser.parse_args(arguments)
    cases = [case for repo in options.repos for case in real_merges(repo)]
    for versions in options.versions:
        cases += dealt(versions, options.times, options.seed)
    if options.suffix:
        cases = [case for case in cases if case.name.endswith(tuple(options.suffix))]
    rows = replay(islice(cases, options.most))
    print("\n".join(report(rows)))
    if options.keep:
        keep(rows, options.keep)
    return 0


def replay(cases: Iterable[Case]) -> list[Row]:
    """Merge every case both ways."""
    cases = list(cases)
    rows = []
    for case, answer in zip(cases, git_answers(cases), strict=True):
        started = time.process_time()
        ours = merge_file(case.base, case.left, case.right, case.name)
        rows.append(Row(case, answer, ours, time.process_time() - started))
    return rows


def report(rows: Sequence[Row]) -> list[str]:
    """What happened, by language and in all."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[Path(row.case.name).suffix or "none"].append(row)
        groups["all"].append(row)
    out: list[str] = []
    for name, group in sorted(groups.items(), key=lambda each: -len(each[1])):
        out.append(f"{name}: {len(group)} files")
        out += [f"  {count:6} {verdict}" for verdict, count in sorted(Counter(row.verdict for row in group).items())]
        hunks = sum(row.git.content.count(b"\n>>>>>>> ") for row in group if not row.git.clean)
        out.append(f"  conflicts: Git {hunks}, ours {sum(len(row.ours.conflicts) for row in group)}")
        out += [_times(group, clean=clean) for clean in (True, False) if any(row.git.clean == clean for row in group)]
    return out


def _times(rows: Sequence[Row], *, clean: bool) -> str:
    found = sorted(row.seconds * 1000 for row in rows if row.git.clean == clean)
    what = "clean for Git" if clean else "conflicts for Git"
    return f"  {what}: median {found[len(found) // 2]:.1f} ms, p95 {found[len(found) * 95 // 100]:.1f}, most {found[-1]:.0f} (CPU)"


def keep(rows: Sequence[Row], folder: Path) -> None:
    """Write out the cases in which ours is neither what Git nor what people have."""
    for number, row in enumerate(rows):
        if not row.verdict.endswith(("exact", "same")):
            place = folder / f"{number:05}"
            place.mkdir(parents=True, exist_ok=True)
            texts = {"base": row.case.base, "left": row.case.left, "right": row.case.right, "wanted": row.case.wanted}
            for name, text in {**texts, "git": row.git.content, "ours": row.ours.content}.items():
                place.joinpath(name).write_bytes(text)
            place.joinpath("name").write_text(f"{row.case.name}\n{row.verdict}\n")


def git_answers(cases: Sequence[Case]) -> list[Answer]:
    """``git merge-tree`` over a tree that has every case as a file."""
    with tempfile.TemporaryDirectory(prefix="anvcs-replay-") as folder:
        _git(folder, "init", "-q", "--bare")
        for side, parent in (("base", None), ("left", "base"), ("right", "base")):
            _import(folder, side, parent, [getattr(case, side) for case in cases])
        done = _git(
            folder, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "left", "right", fails=True
        )
        tree, *conflicted = done.rstrip(b"\0").split(b"\0")
        names = "".join(f"{tree.decode()}:{number}\n" for number in range(len(cases)))
        blobs = _git(folder, "cat-file", "--batch", data=names.encode())
    unclean = {int(name) for name in conflicted if name}
    answers = []
    at = 0
    for number in range(len(cases)):
        head = blobs.index(b"\n", at)
        size = int(blobs[at:head].split()[2])
        answers.append(Answer(number not in unclean, blobs[head + 1 : head + 1 + size]))
        at = head + size + 2
    return answers


def _import(folder: str, name: str, parent: str | None, texts: Sequence[bytes]) -> None:
    out = [f"commit refs/heads/{name}\ncommitter nobody <n@example.org> 1 +0000\ndata 0\n".encode()]
    if parent:
        out.append(f"from refs/heads/{parent}\n".encode())
    for number, text in enumerate(texts):
        out.append(f"M 100644 inline {number}\ndata {len(text)}\n".encode() + text + b"\n")
    _git(folder, "fast-import", "--quiet", data=b"".join(out))


def _git(folder: str, *arguments: str, data: bytes = b"", fails: bool = False) -> bytes:
    command = ["git", "-C", folder, *arguments]
    done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode > fails:
        raise RuntimeError(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
