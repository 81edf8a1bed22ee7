"""Artifacts in a mounted view: their true size at once, their bytes when they are read, pins in commits."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, commit
from support.held_store import Held
from support.programs import git
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

MODEL = os.urandom(1 << 20) * 9 + b"end"
"""More than two pieces."""


class Desk:
    """A repository whose artifacts are in a store that the test has in its hands, and a view of it."""

    def __init__(self, view: MountedView, store: Held) -> None:
        self.view, self.store = view, store
        self.path = view.path

    def forget(self) -> None:
        """Nothing is on this machine but what the store and Git have, and nothing in the kernel's memory."""
        shutil.rmtree(self.view.store / "cache" / "sha256", ignore_errors=True)
        shutil.rmtree(self.view.store / "objects", ignore_errors=True)
        for path in self.path.glob("*.pt"):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def state(self, name: str) -> str:
        """What opening a file would cost."""
        return os.getxattr(self.path / name, "user.anvcs.state").decode()

    def status(self) -> dict:
        return json.loads((self.view.control / "status").read_bytes())

    def pointer(self, name: str, revision: str = "HEAD") -> str:
        """What Git has."""
        return git("show", f"{revision}:{name}", cwd=self.path)

    def note(self) -> dict:
        return json.loads(git("notes", "--ref", "anvcs", "show", cwd=self.path))

    def save(self, message: str, **more: object) -> dict:
        return commit(self.path, {"message": message, **more})


@pytest.fixture
def desk(tmp_path: Path, mounted) -> Iterator[Desk]:
    """A mounted view with nothing committed but the configuration."""
    store, repository = Held(tmp_path), tmp_path / "repository"
    git("init", "-q", "-b", "main", str(repository), cwd=tmp_path)
    (repository / "ai-vcs.config.yaml").write_text(store.config("*.pt", "data/"))
    (repository / "plain.txt").write_text("plain\n")
    git("add", "-A", cwd=repository)
    git("commit", "-q", "-m", "start", cwd=repository)
    git("switch", "-q", "--detach", cwd=repository)
    yield Desk(mounted(repository, tmp_path / "view", **store.env), store)
    store.let_go()


@pytest.fixture
def pinned(desk: Desk) -> Desk:
    """With a model and a small file committed, and their bytes in the store only."""
    (desk.path / "model.pt").write_bytes(MODEL)
    (desk.path / "data").mkdir()
    (desk.path / "data" / "small.csv").write_text("a,b\n")
    for name in ("model.pt", "data/small.csv"):  # or Git would look into what is as new as its index
        os.utime(desk.path / name, (10**9, 10**9))
    assert desk.save("add a model")["ok"]
    desk.forget()
    (desk.store.root / "log").unlink()
    return desk


def test_a_commit_has_pointers_and_pins(desk: Desk):
    (desk.path / "model.pt").write_bytes(MODEL)
    (desk.path / "empty.pt").touch()
    assert desk.state("model.pt") == "modified"
    assert desk.save("add")["ok"]
    assert desk.pointer("model.pt").startswith("anvcs artifact 1\nsha256 ")
    assert desk.pointer("empty.pt") == ""
    (pin,) = desk.note()["artifacts"]
    assert (pin["path"], pin["size"], pin["storage"]) == ("model.pt", len(MODEL), "held")
    assert pin["pieces"]["size"] == 4 << 20
    assert (desk.path / "model.pt").read_bytes() == MODEL
    assert git("status", "--porcelain", cwd=desk.path) == ""
    assert desk.state("model.pt") == "local"
    with pytest.raises(OSError, match="No data"):
        desk.state("plain.txt")
    assert [line.split()[0] for line in desk.store.asked()] == ["upload"] * 2  # with the list of pieces


def test_looking_fetches_nothing(pinned: Desk):
    pinned.view.remount()
    subprocess.run(["du", "-ab", str(pinned.path)], check=True, capture_output=True)
    assert (pinned.path / "model.pt").stat().st_size == len(MODEL)
    for place in (".anvcs/refs/heads/main", f".anvcs/commits/{git('rev-parse', 'HEAD', cwd=pinned.path).strip()}"):
        assert (pinned.path / place / "model.pt").stat().st_size == len(MODEL)
    assert git("-c", "core.fsmonitor=", "status", "--porcelain", cwd=pinned.path) == ""
    assert git("-c", "core.fsmonitor=", "diff", "HEAD", cwd=pinned.path) == ""
    assert pinned.state("model.pt") == "remote"
    assert pinned.store.asked() == []


def test_the_time_is_that_of_the_pin(pinned: Desk, mounted):
    (pin,) = [one for one in pinned.note()["artifacts"] if one["path"] == "model.pt"]
    assert pin["mtime"] == "2001-09-09T01:46:40Z"
    assert "mtime 2001-09-09T01:46:40Z" in pinned.pointer("model.pt")
    other = mounted(pinned.view.repository, pinned.path.parent / "other", init=False, **pinned.store.env)
    for _ in range(2):
        for top in (pinned.path, other.path):
            assert (top / "model.pt").stat().st_mtime == 10**9
            assert (top / ".anvcs/refs/heads/main/model.pt").stat().st_mtime == 10**9
        assert git("-c", "core.fsmonitor=", "status", "--porcelain", cwd=other.path) == ""
        other.remount()
    os.utime(other.path / "model.pt")
    shutil.copyfile(other.path / "model.pt", other.path / "copy.pt")
    assert commit(other.path, "a copy shares the pin, and its time")["ok"]
    assert pinned.pointer("copy.pt") == pinned.pointer("model.pt") == pinned.pointer("model.pt", "HEAD~1")
    assert [line for line in pinned.store.asked() if line.startswith("upload")] == []


def test_a_part_is_served_before_the_whole_has_come(pinned: Desk):
    with (pinned.path / "model.pt").open("rb") as file:
        assert file.read(100) == MODEL[:100]
    assert not list((pinned.view.store / "cache").glob("sha256/*/*"))
    with (pinned.path / ".anvcs/refs/heads/main/model.pt").open("rb") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"end"
    assert (pinned.path / "model.pt").read_bytes() == MODEL
    eventually(lambda: pinned.state("model.pt") == "local", 60)  # it is hashed as a whole, too
    asked = len(pinned.store.asked())
    assert (pinned.path / ".anvcs/refs/heads/main/model.pt").read_bytes() == MODEL
    assert (pinned.path / "data" / "small.csv").read_text() == "a,b\n"
    assert pinned.store.asked()[asked:] == ["read data/small.csv"]


STUCK = """
import sys
print("begins", flush=True)
with open(sys.argv[1], sys.argv[2]) as file:
    file.write(b"x") if file.writable() else file.read()
"""


def stuck(path: Path, mode: str) -> subprocess.Popen:
    """A program that handles signals itself, in the middle of reading or writing."""
    made = subprocess.Popen([sys.executable, "-c", STUCK, path, mode], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert made.stdout.readline() == b"begins\n"
    stat = Path(f"/proc/{made.pid}/stat")
    eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] in "SD", 60)
    return made


def test_whoever_waits_can_be_interrupted_and_killed(pinned: Desk):
    """The kernel waits such a request out, whatever signals its process has."""
    pinned.store.hold()
    for mode, number, said in (("rb", signal.SIGINT, b"KeyboardInterrupt"), ("r+b", signal.SIGKILL, b"")):
        made = stuck(pinned.path / "model.pt", mode)
        made.send_signal(number)
        assert said in made.communicate(timeout=30)[1]
        assert made.returncode == -number
    pinned.store.let_go()
    assert (pinned.path / "model.pt").read_bytes() == MODEL


def waits(reader: subprocess.Popen, path: Path) -> bool:
    """Whether a process has a file open and sleeps."""
    process = Path(f"/proc/{reader.pid}")
    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    try:
        return state in "SD" and str(path) in [os.readlink(link) for link in (process / "fd").iterdir()]
    except FileNotFoundError:
        return False


def test_a_store_that_hangs_holds_nobody_else_up(pinned: Desk):
    if "control file system of FUSE" in (pinned.view.store / "views" / "view" / "log").read_text():
        pytest.skip("the number of requests in the background can't be set here")
    (pinned.path / "plain").mkdir()
    for number in range(40):
        (pinned.path / "data" / str(number)).write_bytes(MODEL[:300_000])
        os.utime(pinned.path / "data" / str(number), (10**9, 10**9))  # or Git would look into it
        (pinned.path / "plain" / str(number)).write_bytes(MODEL[:200_000])  # more than one page: read ahead
    assert pinned.save("forty")["ok"]
    pinned.view.unmount()
    pinned.forget()
    pinned.view.mount()
    pinned.store.hold()
    paths = [pinned.path / "data" / str(number) for number in range(40)]
    readers = [subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) for path in paths]
    eventually(lambda: all(map(waits, readers, paths)), 60)
    for number in range(40):  # none of them in the kernel's cache
        assert (pinned.path / "plain" / str(number)).read_bytes() == MODEL[:200_000]
    (pinned.path / "other.txt").write_text("other\n")
    assert {"model.pt", "other.txt"} <= set(os.listdir(pinned.path))
    assert git("status", "--porcelain", cwd=pinned.path) == "?? other.txt"
    readers[0].send_signal(signal.SIGINT)
    assert readers[0].wait(30) == -signal.SIGINT  # while the store still hangs
    readers[0].stdout.close()
    assert all(reader.poll() is None for reader in readers[1:])
    pinned.store.let_go()
    for reader in readers[1:]:
        assert reader.communicate(timeout=60)[0] == MODEL[:300_000]
    assert pinned.store.asked()[1:] == ["read data/0"]  # one upload, and one transfer for all of them


def test_what_cannot_be_fetched_is_an_error_that_says_why(pinned: Desk, mounted):
    mounted.expect_faults = True
    (version,) = pinned.store.versions("model.pt")
    whole = version.read_bytes()
    version.chmod(0o644)
    version.write_bytes(b"\1" + whole[1:] if whole[:1] != b"\1" else b"\2" + whole[1:])
    with pytest.raises(OSError, match="Input/output"):
        (pinned.path / "model.pt").read_bytes()
    assert "expected sha256" in pinned.status()["artifacts"]["failures"][0]["message"]
    aside = version.rename(version.with_name("aside"))
    with pytest.raises(OSError, match="Input/output"):
        (pinned.path / "model.pt").read_bytes()
    assert "there is no version" in pinned.status()["artifacts"]["failures"][0]["message"]
    assert (pinned.path / "plain.txt").read_text() == "plain\n"
    aside.write_bytes(whole)
    aside.rename(version)
    assert (pinned.path / "model.pt").read_bytes() == MODEL
    eventually(lambda: pinned.status()["artifacts"]["failures"] == [], 60)


def test_a_store_that_is_away(pinned: Desk, mounted):
    mounted.expect_faults = True
    pinned.store.go_away()
    with pytest.raises(OSError, match="Input/output"):
        (pinned.path / "model.pt").read_bytes()
    assert "is the network up?" in pinned.status()["artifacts"]["failures"][0]["message"]
    log = (pinned.view.store / "views" / "view" / "log").read_text()
    assert "is the network up?" in log
    assert "Traceback" not in log
    # A rewrite needs nothing of the old bytes.
    (pinned.path / "model.pt").write_bytes(b"new")
    assert (pinned.path / "model.pt").read_bytes() == b"new"
    before = git("rev-parse", "HEAD", cwd=pinned.path)
    with pytest.raises(OSError, match="Input/output"):
        pinned.save("can't be uploaded")
    assert git("rev-parse", "HEAD", cwd=pinned.path) == before
    assert "no connection" in pinned.status()["last_error"]["message"]
    assert pinned.state("model.pt") == "modified"
    assert pinned.save("later", upload="later")["ok"]
    assert pinned.state("model.pt") == "queued"
    assert (pinned.path / "model.pt").read_bytes() == b"new"


def test_a_view_that_is_killed_while_it_fetches(pinned: Desk):
    pinned.store.hold()
    reader = subprocess.Popen(["cat", str(pinned.path / "model.pt")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    eventually(pinned.store.asked, 60)
    pinned.view.kill()
    assert reader.communicate(timeout=20)[0] == b""
    pinned.store.let_go()
    pinned.view.mount()
    assert (pinned.path / "model.pt").read_bytes() == MODEL


def test_writing_copies_renames_and_copies(pinned: Desk):
    with (pinned.path / "model.pt").open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"changed")
    changed = MODEL[:5_000_000] + b"changed" + MODEL[5_000_007:]
    assert (pinned.path / "model.pt").read_bytes() == changed
    assert (pinned.path / ".anvcs/refs/heads/main/model.pt").read_bytes() == MODEL
    assert pinned.save("change")["ok"]
    asked = len(pinned.store.asked())
    os.rename(pinned.path / "model.pt", pinned.path / "renamed.pt")
    shutil.copyfile(pinned.path / "renamed.pt", pinned.path / "copy.pt")
    os.rename(pinned.path / "data" / "small.csv", pinned.path / "data" / "other.csv")
    assert pinned.save("rename and copy")["ok"]
    assert pinned.pointer("renamed.pt") == pinned.pointer("model.pt", "HEAD~1") == pinned.pointer("copy.pt")
    assert pinned.pointer("data/other.csv") == pinned.pointer("data/small.csv", "HEAD~1")
    assert {pin["path"] for pin in pinned.note()["artifacts"]} == {"renamed.pt", "copy.pt", "data/other.csv"}
    assert not [line for line in pinned.store.asked()[asked:] if line.startswith("upload")]
    assert (pinned.path / "copy.pt").read_bytes() == changed


def test_a_pointer_that_is_written_sets_the_pin(pinned: Desk):
    text = pinned.pointer("model.pt") + "\n"
    (pinned.path / "model.pt").write_bytes(b"something else")
    assert pinned.save("something else")["ok"]
    (pinned.path / "model.pt").write_text(text)
    assert (pinned.path / "model.pt").stat().st_size == len(MODEL)
    assert (pinned.path / "model.pt").read_bytes() == MODEL
    (pinned.path / "second.pt").write_text(text)
    assert pinned.save("as it was")["ok"]
    assert pinned.pointer("model.pt") == pinned.pointer("second.pt") == text.rstrip()
    assert (pinned.path / "second.pt").read_bytes() == MODEL


def test_an_artifact_keeps_its_bytes_under_a_name_that_no_pattern_matches(pinned: Desk):
    """Nor does it lose them when its pattern is taken out: who reads it wants no pointer."""
    view, aside = pinned.path, pinned.path / "model.aside"
    os.rename(view / "model.pt", aside)
    assert aside.stat().st_size == len(MODEL)
    assert pinned.save("put it aside")["ok"]
    assert pinned.pointer("model.aside") == pinned.pointer("model.pt", "HEAD~1")
    pinned.view.remount()
    assert aside.stat().st_size == len(MODEL)
    assert git("-c", "core.fsmonitor=", "status", "--porcelain", cwd=view) == ""
    assert pinned.store.asked() == []
    assert aside.read_bytes() == (view / ".anvcs/refs/heads/main/model.aside").read_bytes() == MODEL
    with aside.open("r+b") as file:
        file.write(b"changed")
    assert pinned.save("a new version of it")["ok"]
    assert pinned.pointer("model.aside").startswith("anvcs artifact 1\n")
    aside.touch()
    assert git("status", "--porcelain", cwd=view, env=pinned.store.env) == ""  # Git asks the filter about it, too
    (view / "ai-vcs.config.yaml").write_text(pinned.store.config("*.other"))
    assert pinned.save("other patterns")["ok"]
    pinned.view.remount()
    assert aside.read_bytes() == b"changed" + MODEL[7:]
    assert (view / "data" / "small.csv").read_text() == "a,b\n"


def test_git_in_a_view_moves_pins_and_no_bytes(pinned: Desk):
    view, path = pinned.path, pinned.path / "model.pt"
    path.write_bytes(b"two" * 1000)
    os.utime(path, (10**9, 10**9))
    assert pinned.save("two")["ok"]
    asked = len(pinned.store.asked())
    git("checkout", "-q", "HEAD~1", "--", "model.pt", cwd=view)
    assert path.stat().st_size == len(MODEL)
    assert git("-c", "core.fsmonitor=", "status", "--porcelain", cwd=view) == "M  model.pt"
    git("reset", "-q", "--hard", cwd=view)
    assert path.stat().st_size == 3000
    git("switch", "-q", "-c", "old", "HEAD~1", cwd=view)
    assert path.stat().st_size == len(MODEL)
    git("switch", "-q", "main", cwd=view)
    assert pinned.store.asked()[asked:] == []
    path.write_bytes(b"three" * 1000)
    git("stash", cwd=view, env=pinned.store.env)  # the filter must find the store
    assert path.read_bytes() == b"two" * 1000
    git("stash", "pop", cwd=view, env=pinned.store.env)
    assert path.read_bytes() == b"three" * 1000
    git("commit", "-q", "-a", "-m", "three", cwd=view, env=pinned.store.env)
    assert pinned.pointer("model.pt").startswith("anvcs artifact 1\n")
    assert git("-c", "core.fsmonitor=", "status", "--porcelain", cwd=view) == ""
    assert pinned.state("model.pt") == "queued"


def test_a_view_that_is_killed_while_it_uploads(desk: Desk):
    path = desk.path / "model.pt"
    path.write_bytes(MODEL)
    before = git("rev-parse", "main", cwd=desk.view.repository)
    desk.store.hold()
    writer = subprocess.Popen(
        ["tee", str(desk.view.control / "commit")], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert writer.stdin is not None
    writer.stdin.write(b"never made")
    writer.stdin.close()
    eventually(desk.store.asked, 60)
    assert desk.status()["artifacts"]["uploading"][0]["bytes"] == len(MODEL)
    assert (desk.path / "plain.txt").read_text() == "plain\n"
    desk.view.kill()
    writer.wait(60)
    desk.store.let_go()
    assert git("rev-parse", "main", cwd=desk.view.repository) == before
    desk.view.mount()
    assert path.read_bytes() == MODEL
    assert desk.save("made")["ok"]
    assert desk.pointer("model.pt").startswith("anvcs artifact 1\n")


def test_views_on_a_machine_need_no_store_between_them(pinned: Desk, mounted):
    other = mounted(
        pinned.view.repository, pinned.path.parent / "other", "--agent", "bob", init=False, **pinned.store.env
    )
    mine, theirs = pinned.path / "model.pt", other.path / "model.pt"
    with theirs.open("r+b", buffering=0) as second, mine.open("r+b", buffering=0) as first:
        first.write(b"first")
        second.write(b"second")
    pinned.store.go_away()
    eventually(lambda: (other.path / "model.pt~").exists() and (pinned.path / "model.pt~").exists(), 60)
    assert theirs.read_bytes()[:10] == b"second" + MODEL[6:10]
    for view in (pinned.path, other.path):  # the last writer has the name, and the other's work is there
        assert (view / "model.pt").read_bytes()[:10] == b"second" + MODEL[6:10]
        assert (view / "model.pt~").read_bytes()[:10] == b"first" + MODEL[5:10]
    assert pinned.save("both", upload="later")["ok"]
    assert pinned.pointer("model.pt~").startswith("anvcs artifact 1\n")
