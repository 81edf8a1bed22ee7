"""Artifacts of a mounted view in a bucket of a real S3 server, through a proxy that injects faults."""

import errno
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from anvcs.artifacts.pieces import PIECE
from anvcs_tools.bench.views import COMMAND, MountedView, ai_vcs, commit, environment, run_command
from support.programs import git
from support.s3 import Fault, FaultProxy, Server, breaks, flips, says, waits_for
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

MIB = 1 << 20
MODEL = os.urandom(11 * MIB)
"""Three parts of an upload, and three pieces."""


class Desk:
    """A view of a repository whose artifacts are in a bucket behind the proxy."""

    def __init__(self, top: Path, mounted, server: Server, proxy: FaultProxy, **storage: object) -> None:
        self.server, self.proxy, self.bucket = server, proxy, server.bucket()
        self.repository = top / "repository"
        git("init", "-q", "-b", "main", str(self.repository), cwd=top)
        (self.repository / "ai-vcs.config.yaml").write_text(self.config(proxy.url, **storage))
        (self.repository / "plain.txt").write_text("plain\n")
        git("add", "-A", cwd=self.repository)
        git("commit", "-q", "-m", "start", cwd=self.repository)
        git("switch", "-q", "--detach", cwd=self.repository)
        self.env = {"TEST_S3_KEY": server.key, "TEST_S3_SECRET": server.secret}
        self.view: MountedView = mounted(self.repository, top / "view", **self.env)
        self.path = self.view.path

    def config(self, url: str, **storage: object) -> str:
        """``ai-vcs.config.yaml`` with the server at *url*."""
        s3 = {
            "provider": "other",
            "bucket": self.bucket,
            "region": "us-east-1",
            "endpoint_url": url,
            "access_key_id": "${TEST_S3_KEY}",
            "secret_access_key": "${TEST_S3_SECRET}",
            "multipart_threshold": 5 * MIB,
            "part_size": 5 * MIB,
            "concurrency": 1,
        }
        parts = {"blobs": {"track": ["*.pt"]}, "storage": {"mode": "s3", **storage}, "adapters": {"s3": s3}}
        return json.dumps(parts)

    def put(self, name: str, data: bytes) -> Path:
        """Write an artifact that is older than Git's index will be, or Git would look into it."""
        path = self.path / name
        path.write_bytes(data)
        os.utime(path, (10**9, 10**9))
        return path

    def forget(self) -> None:
        """Nothing is on this machine but what the store and Git have, and nothing in the kernel's memory."""
        self.view.unmount()
        shutil.rmtree(self.view.store / "cache" / "sha256", ignore_errors=True)
        shutil.rmtree(self.view.store / "objects", ignore_errors=True)
        self.view.mount()
        self.proxy.seen.clear()

    def artifacts(self) -> dict:
        """What the status says of artifacts."""
        return json.loads((self.view.control / "status").read_bytes())["artifacts"]

    def failures(self) -> dict[str, str]:
        """What the status says of each artifact that could not be fetched."""
        return {failure["key"]: failure["message"] for failure in self.artifacts()["failures"]}

    @property
    def head(self) -> str:
        return git("rev-parse", "main", cwd=self.repository)

    def uploads(self) -> list:
        """The uploads in parts that the server waits for."""
        return self.server.admin().list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])


@pytest.fixture
def desk(tmp_path: Path, mounted, s3_server: Server, proxy: FaultProxy) -> Iterator[Desk]:
    return Desk(tmp_path, mounted, s3_server, proxy)


def by_command(desk: Desk) -> subprocess.Popen:
    """A commit as a person makes it."""
    command = [*COMMAND, "commit", "-m", "never made"]
    return subprocess.Popen(command, cwd=desk.path, env=environment(desk.env), stderr=subprocess.PIPE, text=True)


def by_control_file(desk: Desk) -> subprocess.Popen:
    """A commit as a script makes it."""
    script = f"echo never made > {desk.view.control}/commit"
    return subprocess.Popen(["bash", "-c", script], stderr=subprocess.PIPE, text=True)


def leave(desk: Desk, writer: subprocess.Popen, part: str, number: int) -> str:
    """End *writer* while the answer to the *part* of an upload is held back: what it said."""
    eventually(lambda: desk.proxy.asked("PUT", f"partNumber={part}"), 60)
    writer.send_signal(number)
    return writer.communicate(timeout=30)[1]


def test_an_upload_that_is_interrupted_or_killed_commits_nothing_and_goes_on(desk: Desk):
    desk.put("model.pt", MODEL)
    before, gates = desk.head, [threading.Event() for _ in range(3)]
    for gate, part in zip(gates, ("1", "2", "3"), strict=True):
        desk.proxy.fault("PUT", f"partNumber={part}", waits_for(gate))
    writer = by_command(desk)
    assert "interrupted while artifacts were uploaded: nothing was committed" in leave(desk, writer, "1", signal.SIGINT)
    assert writer.returncode == 130
    gates[0].set()
    writer = by_control_file(desk)
    leave(desk, writer, "2", signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    told = json.loads((desk.view.control / "status").read_bytes())
    assert told["last_error"]["error"] == "UploadCancelled"
    gates[1].set()
    writer = by_control_file(desk)
    eventually(lambda: desk.proxy.asked("PUT", "partNumber=3"), 60)
    desk.view.kill()
    writer.communicate(timeout=30)
    gates[2].set()
    assert desk.head == before
    desk.view.mount()
    assert (desk.path / "model.pt").read_bytes() == MODEL
    assert commit(desk.path, "made")["ok"]
    sent = [request.path.partition("partNumber=")[2][:1] for request in desk.proxy.asked("PUT", "partNumber")]
    assert sent[:2] == ["1", "2"]
    assert set(sent[2:]) == {"3"}  # twice if the server hadn't stored it when the view was killed
    assert desk.uploads() == []
    desk.forget()
    assert (desk.path / "model.pt").read_bytes() == MODEL


def ranges(desk: Desk) -> list[tuple[int, int]]:
    """The first and the last byte of what was asked of the model so far, in order."""
    asked = [one.headers["Range"] for one in desk.proxy.asked("GET", "/model.pt")]
    found = [one.removeprefix("bytes=").split("-") for one in asked]
    return sorted((int(first), int(last)) for first, last in found)


def test_looking_costs_nothing_and_reading_what_it_reads(desk: Desk):
    model = desk.put("model.pt", MODEL)
    assert commit(desk.path, "add")["ok"]
    desk.forget()
    kept = desk.path / ".anvcs/refs/heads/main/model.pt"
    assert {path.stat().st_size for path in (model, kept)} == {len(MODEL)}
    for command in (["ls", "-lR"], ["find", ".", "-size", "+10M"], ["du", "-ab"], ["git", "status", "--porcelain"]):
        done = subprocess.run(command, cwd=desk.path, check=True, capture_output=True, text=True)
        assert "git" in command or "model.pt" in done.stdout
    assert desk.proxy.seen == []
    done = subprocess.run(["head", "-c", "1M", model], check=True, capture_output=True)
    assert done.stdout == MODEL[:MIB]
    assert ranges(desk) == [(0, PIECE - 1)]
    gate = threading.Event()
    desk.proxy.fault("GET", "/model.pt", waits_for(gate), 100)
    reader = subprocess.Popen(["sha256sum", model], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    eventually(lambda: len(ranges(desk)) > 1, 60)
    desk.view.kill()
    assert reader.communicate(timeout=30)[0] == b""
    gate.set()
    desk.proxy.seen.clear()
    desk.view.mount()
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(Path.read_bytes, [model, kept] * 3)) == {MODEL}
    asked = ranges(desk)
    assert [first for first, _ in asked] == [PIECE, *(last + 1 for _, last in asked[:-1])]  # nothing twice
    assert asked[-1][1] == len(MODEL) - 1
    before = len(desk.proxy.seen)
    eventually(lambda: os.getxattr(model, "user.anvcs.state") == b"local", 60)
    desk.view.remount()
    assert model.read_bytes() == kept.read_bytes() == MODEL
    assert len(desk.proxy.seen) == before
    desk.forget()
    model.write_bytes(b"anew")
    assert model.read_bytes() == b"anew"
    assert desk.proxy.seen == []


SMALL = 100_000

PASSING: dict[str, tuple[Fault, int]] = {
    "reset": (breaks(SMALL // 2), 2),
    "cut off": (breaks(SMALL // 2, reset=False), 2),
    "flipped": (flips(9), 1),
    "500": (says(500, "InternalError"), 1),
    "503": (says(503, "SlowDown"), 2),
}
"""Faults that a reader doesn't notice, and how often they happen."""

LASTING: dict[str, tuple[Fault, str]] = {
    "torn": (breaks(SMALL // 2), "storage doctor"),
    "damaged": (flips(9), "the stored object is damaged or the pin is wrong"),
    "busy": (says(503, "SlowDown"), "try again later"),
    "forbidden": (says(403, "AccessDenied"), "ask the owner of the bucket"),
    "expired": (says(400, "ExpiredToken"), "log in again"),
    "late": (says(403, "RequestTimeTooSkewed", Date="Mon, 01 Jan 2024 00:00:00 GMT"), "timedatectl"),
    "deleted": (says(404, "NoSuchVersion"), "restore it there"),
}
"""Faults that stay, and what the message advises."""


def outcome(path: Path) -> bytes | str:
    """What reading gives: the bytes, or the name of the error."""
    try:
        return path.read_bytes()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


@contextmanager
def small_cache(desk: Desk) -> Iterator[Path | None]:
    """The cache on a small disk of its own, where root may have one; nothing is in it."""
    desk.view.unmount()
    shutil.rmtree(desk.view.store / "objects", ignore_errors=True)
    cache = desk.view.store / "cache"
    shutil.rmtree(cache)
    cache.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", cache]
    small = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        desk.view.mount()
        desk.proxy.seen.clear()
        yield cache if small else None
    finally:
        desk.view.unmount()
        if small:
            subprocess.run(["umount", cache], check=True)


def test_each_fault_has_an_end(tmp_path: Path, mounted, s3_server: Server, proxy: FaultProxy):
    desk = Desk(tmp_path, mounted, s3_server, proxy, deadline_s=5)
    names = [*PASSING, *LASTING, "slow", "silent", "unresolved", "no space"]
    data = {name: os.urandom(SMALL) for name in names}
    for name in names:
        desk.put(f"{name}.pt", data[name])
    assert commit(desk.path, "add")["ok"]
    with small_cache(desk) as disk:
        gates = {name: threading.Event() for name in ("slow", "silent")}
        for name, (fault, times) in PASSING.items():
            proxy.fault("GET", f"{name.replace(' ', '%20')}.pt", fault, times)
        for name, (lasting, _) in LASTING.items():
            proxy.fault("GET", f"{name}.pt", lasting, 100)
        for name, gate in gates.items():
            proxy.fault("GET", f"{name}.pt", waits_for(gate), 100)
        early = [*PASSING, *LASTING, *gates]
        with ThreadPoolExecutor(len(early)) as pool:
            jobs = {name: pool.submit(outcome, desk.path / f"{name}.pt") for name in early}
            eventually(lambda: all(proxy.asked("GET", f"{name}.pt") for name in gates), 60)
            assert (desk.path / "plain.txt").read_text() == "plain\n"  # while all of this is under way
            gates["slow"].set()
            found = {name: job.result() for name, job in jobs.items()}
        told = desk.failures()
        gates["silent"].set()
        assert {name: found[name] for name in [*PASSING, "slow"]} == {name: data[name] for name in [*PASSING, "slow"]}
        assert {name: found[name] for name in [*LASTING, "silent"]} == dict.fromkeys([*LASTING, "silent"], "EIO")
        advice = {name: words for name, (_, words) in LASTING.items()} | {"silent": "(storage.deadline_s)"}
        assert sorted(told) == sorted(f"{name}.pt" for name in advice)
        if disk is not None:
            (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
            assert outcome(desk.path / "no space.pt") == "ENOSPC"
            advice["no space"] = "free some"
            (disk / "filler").unlink()
            told |= desk.failures()
        config = desk.path / "ai-vcs.config.yaml"
        config.write_text(desk.config("http://nowhere.invalid", deadline_s=5))
        assert outcome(desk.path / "unresolved.pt") == "EIO"
        advice["unresolved"] = "is the network up?"
        told |= desk.failures()
        log = (desk.view.store / "views" / "view" / "log").read_text()
        assert {name for name, words in advice.items() if words not in told[f"{name}.pt"]} == set()
        assert {name for name, words in advice.items() if told[f"{name}.pt"] not in log} == set()
        assert "Traceback" not in log
        # What was wrong is over.
        proxy.rules.clear()
        config.write_text(desk.config(proxy.url, deadline_s=5))
        later = [*LASTING, "silent", "no space", "unresolved"]
        assert {name: outcome(desk.path / f"{name}.pt") for name in later} == {name: data[name] for name in later}
        eventually(lambda: desk.failures() == {}, 60)


def test_offline(desk: Desk):
    desk.put("here.pt", b"here" * SMALL)
    desk.put("there.pt", b"there" * SMALL)
    assert commit(desk.path, "add")["ok"]
    desk.forget()
    assert (desk.path / "here.pt").read_bytes() == b"here" * SMALL
    desk.view.unmount()
    desk.proxy.close()
    desk.view.mount()  # which has no connection yet
    assert (desk.path / "here.pt").read_bytes() == b"here" * SMALL
    assert outcome(desk.path / "there.pt") == "EIO"
    (desk.path / "new.pt").write_bytes(b"new" * SMALL)
    before = desk.head
    with pytest.raises(OSError, match="Input/output"):
        commit(desk.path, "not queued")
    assert desk.head == before
    assert commit(desk.path, {"message": "queued", "upload": "later"})["ok"]
    assert desk.artifacts()["queued"] == 1
    assert os.getxattr(desk.path / "new.pt", "user.anvcs.state") == b"queued"
    done = run_command("retry-uploads", cwd=desk.path, env=desk.env)
    assert done.returncode
    assert "is the network up?" in done.stdout + done.stderr
    desk.proxy.come_back()
    ai_vcs("retry-uploads", cwd=desk.path, env=desk.env)
    assert desk.artifacts()["queued"] == 0
    desk.forget()
    assert (desk.path / "new.pt").read_bytes() == b"new" * SMALL
