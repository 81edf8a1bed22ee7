"""``artifacts`` and ``retry-uploads``."""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anvcs_tools.cli.meter import TICK_S, Counter, Rate, progress_line, size_text
from anvcs_tools.cli.output import path_text, print_json, print_table, printable, say
from anvcs_tools.exit_codes import DAMAGED, REMOTE, exit_code

if TYPE_CHECKING:
    from anvcs.artifact_access import Artifacts
    from anvcs.model.pin import Pin
    from anvcs.pinned import Pinned
    from anvcs_tools.cli.places import Place

_JUST_NOW_S = 60.0
"""What is partly here is left to whoever may be fetching it, unless nothing came for so long."""


def artifacts(arguments: argparse.Namespace) -> int:
    """Do one of the actions."""
    from anvcs_tools.cli.places import find_place

    arguments.paths = None  # patterns are no paths: where the command works doesn't follow from them
    place = find_place(arguments)
    if arguments.action == "track":
        return _track(arguments, place)
    actions = {"list": _list, "fetch": _fetch, "evict": _evict, "verify": _verify, "status": _status}
    with closing(opened(place)) as found:
        return actions[arguments.action](arguments, place, found)


def opened(place: "Place") -> "Artifacts":
    """The repository's artifacts, as its configuration has them."""
    from anvcs.artifact_access import Artifacts

    return Artifacts(place.repository.store, place.repository.config(place.stream))


def _pinned(place: "Place", patterns: list[str]) -> Iterator["Pinned"]:
    """The stream's last commit's artifacts that a pattern matches, all without patterns."""
    from anvcs.ownership import Ownership
    from anvcs.pinned import pinned

    head = place.repository.refs.get(f"refs/heads/{place.stream}")
    chosen = Ownership(patterns)
    for item in pinned(place.repository.objects, head) if head is not None else ():
        if not patterns or chosen.tracked(item.path):
            yield item


def _list(arguments: argparse.Namespace, place: "Place", found: "Artifacts") -> int:
    rows: list[dict[str, Any]] = []
    for item in _pinned(place, arguments.patterns):
        pin = item.pin
        if pin is None:
            rows.append({"path": path_text(item.path), "state": "damaged", "problem": item.problem})
        else:
            rows.append({"path": path_text(item.path), "state": str(found.state(pin)), "pin": pin.document()})
    if arguments.json:
        print_json({"stream": place.stream, "artifacts": rows})
    else:
        table = [(row["state"], row["pin"]["size"] if "pin" in row else "", row["path"]) for row in rows]
        print_table(("STATE", "SIZE", "PATH"), table)
    return DAMAGED if any(row["state"] == "damaged" for row in rows) else 0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch has done."""

    document: dict[str, Any]
    code: int
    """The exit code that says so."""

    def tell(self) -> int:
        """Say it, and give the exit code."""
        for one in self.document["failed"]:
            say(f"{one['path']}: {one['problem']}")
        fetched, size, here = (self.document[name] for name in ("fetched", "bytes", "here"))
        say(f"fetched {fetched} artifacts, {size_text(size)}; {here} were here")
        for path in self.document["filled_in"]:
            say(f"{path}: filled in")
        return self.code


def _fetch(arguments: argparse.Namespace, place: "Place", found: "Artifacts") -> int:
    """Bring artifacts into the cache, several at a time."""
    fetched = fetch_pinned(place, found, arguments.patterns)
    if not arguments.json:
        return fetched.tell()
    print_json(fetched.document)
    return fetched.code


def fetch_pinned(place: "Place", found: "Artifacts", patterns: list[str]) -> Fetched:
    """Bring the stream's artifacts that *patterns* match into the cache, and into a plain work tree that lacks them."""
    items = [item for item in _pinned(place, patterns) if item.pin is not None]
    wanted = {item.pin.sha256: item for item in items if item.pin is not None}
    pins = [item.pin for item in wanted.values() if item.pin is not None and not found.cache.has(item.pin.sha256)]
    failed: list[dict[str, str]] = []
    worst = 0

    def done(pin: "Pin", error: Exception | None) -> None:
        nonlocal worst
        if error is not None:
            failed.append({"path": path_text(wanted[pin.sha256].path), "problem": str(error)})
            worst = worst or exit_code(error)

    with _Meter(found, pins):
        found.hydrator.ensure_many(pins, done=done)
    here = [item.path for item in items if item.pin is not None and found.cache.has(item.pin.sha256)]
    document = {
        "fetched": len(pins) - len(failed),
        "bytes": sum(pin.size for pin in pins if found.cache.has(pin.sha256)),
        "here": len(wanted) - len(pins),
        "failed": failed,
        "filled_in": [path_text(path) for path in _filled_in(place, here)],
    }
    return Fetched(document, worst)


def _filled_in(place: "Place", paths: list[bytes]) -> list[bytes]:
    """Have plain Git write the artifacts at *paths* where a work tree has their pointers."""
    from anvcs.fill_in import fill_in
    from anvcs.git.filter_setup import filter_program

    repository = place.repository
    top = repository.info.work_tree
    if place.view is not None or top is None or repository.info.head_branch != place.stream or not paths:
        return []
    repository.use_filter(filter_program(), outside=paths)
    return fill_in(top, paths)


class _Meter:
    """Says on a terminal how far a fetch is."""

    def __init__(self, found: "Artifacts", pins: list["Pin"]) -> None:
        self._found, self._pins = found, pins
        self._total = sum(pin.size for pin in pins)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty() and self._pins:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def _show(self) -> None:
        rate = Rate()
        while not self._over.wait(TICK_S):
            complete = [pin for pin in self._pins if self._found.cache.has(pin.sha256)]
            under_way = self._found.hydrator.status().transfers
            here = sum(pin.size for pin in complete) + sum(
                one.here for one in under_way.values() if one.here < one.size
            )
            text = progress_line("fetching", (len(complete), len(self._pins)), here, self._total, rate.at(here))
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _evict(arguments: argparse.Namespace, place: "Place", found: "Artifacts") -> int:
    """Drop cached bytes that can be fetched again."""
    if arguments.all:
        found.cache.clean(parts_older_s=_JUST_NOW_S)
        done = found.cache.shrink(0)
        files, freed = done.files, done.freed
    else:
        pins = {item.pin.sha256 for item in _pinned(place, arguments.patterns) if item.pin is not None}
        sizes = [found.cache.evict(sha256) for sha256 in sorted(pins)]
        files, freed = sum(map(bool, sizes)), sum(sizes)
    if arguments.json:
        print_json({"evicted": files, "bytes": freed})
    else:
        say(f"evicted {files} artifacts, {freed} bytes; what is open or not uploaded stays")
    return 0


def _verify(arguments: argparse.Namespace, place: "Place", found: "Artifacts") -> int:
    """Hash what is here again, and with --remote ask the store for every version."""
    from anvcs.verifying import verify

    items = list(_pinned(place, arguments.patterns))
    damaged = [path_text(item.path) for item in items if item.pin is None]
    pins = [item.pin for item in items if item.pin is not None]
    with Counter("looking at", len(set(pins)), sum(pin.size for pin in set(pins))) as counter:
        looked = verify(found, pins, remote=arguments.remote, done=counter.add)
    missing: list[dict[str, str]] = []
    for item in items:
        if item.pin is not None and looked[item.pin].damaged:
            damaged.append(path_text(item.path))
        if item.pin is not None and looked[item.pin].problem:
            missing.append({"path": path_text(item.path), "problem": looked[item.pin].problem})
    checked = sum(one.here for one in looked.values())
    if arguments.json:
        print_json({"verified": checked, "damaged": damaged, "missing": missing})
    else:
        for path in damaged:
            say(f"{path}: damaged; the copy here was removed")
        for one in missing:
            say(f"{one['path']}: {one['problem']}")
        say(f"verified {checked} artifacts")
    return DAMAGED if damaged else REMOTE if missing else 0


def _status(arguments: argparse.Namespace, place: "Place", found: "Artifacts") -> int:
    """Tell what is here, what waits and where it goes."""
    entries = list(found.cache.entries())
    waiting = found.unsent()
    document: dict[str, Any] = {
        "stream": place.stream,
        "store": found.store.name,
        "cache": {
            "files": len(entries),
            "bytes": sum(entry.size for entry in entries),
            "partial": found.cache.partial(),
            "limit": found.cache.limit,
        },
        "queued": [
            {"sha256": one.sha256, "key": one.key, "size": one.size, "tries": one.tries, "error": one.error}
            for one in waiting
        ],
    }
    if arguments.json:
        print_json(document)
        return 0
    print(printable(f"store: {found.store.name}"))
    size, partial = document["cache"]["bytes"], document["cache"]["partial"]
    more = f" and {size_text(partial)} partly fetched" if partial else ""
    print(f"cache: {len(entries)} files, {size_text(size)}{more} of {size_text(found.cache.limit)}")
    print(f"queue: {len(waiting)} objects to upload" + (" (ai-vcs retry-uploads)" if waiting else ""))
    for one in waiting:
        if one.error:
            print(printable(f"  {one.key}: {one.error}"))
    return 0


def _track(arguments: argparse.Namespace, place: "Place") -> int:
    """Add patterns to the configuration."""
    from anvcs.config import FILE_NAME, parse_config
    from anvcs.config.editing import add_patterns
    from anvcs.git.filter_setup import filter_program
    from anvcs_tools.cli.places import NotInWorkTree

    top = place.view.mountpoint if place.view else place.repository.info.work_tree
    if top is None:
        raise NotInWorkTree
    file = Path(top, FILE_NAME)
    before = file.read_bytes() if file.exists() else b""
    after = add_patterns(before, arguments.patterns)
    if after != before:
        part = file.with_name(f".{file.name}.new")
        part.write_bytes(after)
        part.replace(file)
    place.repository.use_filter(filter_program(), parse_config(after).blobs)
    imported = _take_in(place) if arguments.take_in else None
    if arguments.json:
        told = {"file": str(file), "changed": after != before, "patterns": arguments.patterns}
        print_json(told | ({} if imported is None else {"imported": imported}))
    elif imported is not None:
        say(f"{len(imported)} files are artifacts once they are committed: " + ", ".join(imported))
    elif after == before:
        say("these patterns are tracked already")
    else:
        say(f"wrote {file}: commit it; what matches is an artifact from its next change on")
    return 0


def _take_in(place: "Place") -> list[str]:
    """Make artifacts of files that match and that Git or LFS has."""
    from anvcs.importing import take_in

    return [path_text(path) for path in take_in(place.repository, place.stream, place.view is None)]


def retry_uploads(arguments: argparse.Namespace) -> int:
    """Upload what waits."""
    from anvcs_tools.cli.places import find_place

    place = find_place(arguments)
    sent: list[str] = []
    failed: list[dict[str, str]] = []
    worst = 0
    with closing(opened(place)) as found:
        for item, error in found.retry_uploads():
            if error is None:
                sent.append(item.sha256)
            else:
                failed.append({"sha256": item.sha256, "key": item.key, "problem": str(error)})
                worst = worst or exit_code(error)
                say(f"{item.key or item.sha256}: {error}")
        left = len(found.unsent())
    if arguments.json:
        print_json({"uploaded": sent, "failed": failed, "left": left})
    else:
        say(f"uploaded {len(sent)} objects; {left} are left")
    return worst
