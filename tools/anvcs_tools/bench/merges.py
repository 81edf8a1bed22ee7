"""How often concurrent saves merge as Git does, over two-sided changes from real history.

``python -m anvcs_tools.bench.merges REPO… [--versions DIR DIR …]``: each file's history
gives triples of a base and two changes of it: real merges, a change and the revert of the
one before it (as two people would make), and the hunks of one change dealt out to two.
``git merge-file`` is the judge: where it is clean, a save must give the same bytes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from anvcs.linediff import line_hunks, split_lines
from anvcs.rooms.threeway import merge

_LARGEST = 400_000
_TIMEOUT_S = 300


class Triple(NamedTuple):
    """A base and two changes of it."""

    name: str
    base: bytes
    ours: bytes
    theirs: bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; 1 when less than `--least` percent agree."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench.merges", description=__doc__)
    parser.add_argument("repos", nargs="*", type=Path, metavar="REPO", help="a Git repository")
    parser.add_argument("--versions", nargs="+", type=Path, default=[], help="directories with versions, oldest first")
    parser.add_argument("--least", type=float, default=99.5, help="percent that must agree (%(default)s)")
    parser.add_argument("--most", type=int, default=20_000, help="triples to look at (%(default)s)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="keep the first N that differ in ./differ")
    options = parser.parse_args(arguments)
    found = compare(_triples(options.repos, options.versions, options.most), options.show)
    agreeing = 100 * found["same"] / max(found["clean"], 1)
    print(
        f"{found['triples']} two-sided changes, {found['clean']} that git merge-file merges cleanly: "
        f"{found['same']} equal ({agreeing:.2f} %), {found['flagged']} of the clean ones flagged, "
        f"{found['silent']} conflicts of Git not flagged; {found['us'] / max(found['triples'], 1):.0f} us each"
    )
    return 0 if agreeing >= options.least else 1


def compare(triples: Iterator[Triple], show: int = 0) -> Counter[str]:
    """Merge each triple both ways and count."""
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="anvcs-merges-") as folder:
        for triple in triples:
            count["triples"] += 1
            started = time.perf_counter()
            ours = merge(triple.base, triple.ours, triple.theirs)
            count["us"] += round((time.perf_counter() - started) * 1e6)
            clean, text = git_merges(Path(folder), triple)
            if not clean:
                count["silent"] += not ours.clashes
                continue
            count["clean"] += 1
            count["flagged"] += bool(ours.clashes)
            count["same"] += ours.text == text
            if ours.text != text and show:
                show -= 1
                _keep(triple, text, ours.text, count["clean"])
    return count


def git_merges(folder: Path, triple: Triple) -> tuple[bool, bytes]:
    """Whether ``git merge-file`` merges *triple* cleanly, and to what."""
    names = []
    for name, data in (("ours", triple.ours), ("base", triple.base), ("theirs", triple.theirs)):
        folder.joinpath(name).write_bytes(data)
        names.append(name)
    command = ["git", "merge-file", "-p", "-q", *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False)
    return done.returncode == 0, done.stdout


def _keep(triple: Triple, expected: bytes, got: bytes, number: int) -> None:
    folder = Path("differ", str(number))
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"name": triple.name.encode(), "base": triple.base, "ours": triple.ours, "theirs": triple.theirs}
    for name, data in {**parts, "git": expected, "room": got}.items():
        folder.joinpath(name).write_bytes(data)


# --- where triples come from


def _triples(repos: Sequence[Path], versions: Sequence[Path], most: int) -> Iterator[Triple]:
    left = most
    for history in (*map(_repo_history, repos), _directory_history(versions)):
        for name, texts in history:
            for triple in _of_texts(name, texts):
                yield triple
                left -= 1
                if left <= 0:
                    return
    for repo in repos:
        yield from _real_merges(repo)


def _of_texts(name: str, texts: Sequence[bytes]) -> Iterator[Triple]:
    for old, new in pairwise(texts):
        dealt = _dealt(old, new)
        if dealt is not None:
            yield Triple(f"{name} dealt", old, *dealt)
    for number in range(1, len(texts) - 1):
        before, base = texts[number - 1], texts[number]
        for later in texts[number + 1 : number + 4]:
            if later not in (before, base):
                yield Triple(f"{name} revert {number}", base, before, later)


def _dealt(old: bytes, new: bytes) -> tuple[bytes, bytes] | None:
    """One change's hunks dealt out to two; ``None`` for a single one."""
    hunks = line_hunks(old, new)
    if len(hunks) < 2:
        return None
    before, after = split_lines(old), split_lines(new)
    sides = []
    for turn in (0, 1):
        out: list[bytes] = []
        at = 0
        for a0, a1, b0, b1 in hunks[turn::2]:
            out += before[at:a0] + after[b0:b1]
            at = a1
        sides.append(b"".join(out + before[at:]))
    return sides[0], sides[1]


def _repo_history(repo: Path) -> Iterator[tuple[str, list[bytes]]]:
    names = _git(repo, "log", "--first-parent", "--reverse", "--format=", "--name-only", "-z", "--diff-filter=M")
    often = Counter(name for name in names.decode(errors="surrogateescape").replace("\n", "").split("\0") if name)
    for name, _ in often.most_common():
        commits = _git(repo, "log", "--first-parent", "--reverse", "--format=%H", "--", name).decode().split()
        texts = [_show(repo, commit, name) for commit in commits]
        usable = [text for text in texts if text is not None and _is_text(text)]
        if len(usable) > 1:
            yield name, usable


def _real_merges(repo: Path) -> Iterator[Triple]:
    for line in _git(repo, "log", "--merges", "--format=%P").decode().splitlines():
        ours, theirs, *more = line.split()
        base = _git(repo, "merge-base", ours, theirs).decode().strip()
        if more or not base:
            continue
        changed = [set(_git(repo, "diff", "--name-only", "-z", base, side).split(b"\0")) for side in (ours, theirs)]
        for raw in sorted((changed[0] & changed[1]) - {b""}):
            name = raw.decode(errors="surrogateescape")
            texts = [_show(repo, commit, name) for commit in (base, ours, theirs)]
            if all(text is not None and _is_text(text) for text in texts):
                yield Triple(f"{name} merge {ours[:10]}", *[text for text in texts if text is not None])


def _directory_history(versions: Sequence[Path]) -> Iterator[tuple[str, list[bytes]]]:
    names = {path.relative_to(folder) for folder in versions for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names):
        texts = [folder.joinpath(name).read_bytes() for folder in versions if folder.joinpath(name).is_file()]
        usable = [text for text in texts if _is_text(text)]
        if len(usable) > 1:
            yield str(name), usable


def _show(repo: Path, commit: str, name: str) -> bytes | None:
    done = subprocess.run(
        ["git", "-C", str(repo), "show", f"{commit}:{name}"],
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    return done.stdout if done.returncode == 0 else None


def _is_text(data: bytes) -> bool:
    return len(data) <= _LARGEST and b"\0" not in data


def _git(repo: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(repo), *arguments]
    return subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False).stdout


if __name__ == "__main__":
    sys.exit(main())
