"""Artifacts of a mounted view in a bucket of a real S3 server, through a proxy that injects faults."""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs_tools.bench.views import COMMAND, MountedView, commit, environment
from support.programs import git
from support.s3 import FaultProxy, Server, waits_for
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
