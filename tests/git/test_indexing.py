"""The index of a view, with a real directory whose stat data are made to be the mount's."""

import hashlib
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from anvcs.git import admin, indexing
from anvcs.git.admin import Branch
from anvcs.git.index_format import Stat
from anvcs.git.indexing import IndexLocked, Job, update_after_commit
from anvcs.model.ids import Oid

EPOCH_NS = 1_600_000_000 * 10**9 + 123_456_789
OWNER = (os.getuid(), os.getgid())


def git(where: Path, *args: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *args], capture_output=True, check=False, input=(stdin or "").encode()
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return os.fsdecode(done.stdout)


class Place:
    """A repository and a directory that stands for the mount of its branch."""

    def __init__(self, top: Path, mount: Path) -> None:
        self.top, self.mount, self.common = top, mount, top / ".git"
        self.dir = self.common / "anvcs/views/v/git"
        admin.ensure(self.common, self.dir, mount, Branch("refs/heads/main"))
        admin.remove_settings(self.common)  # the monitor and the caches have tests of their own
        git(top, "worktree", "add", "-q", "--detach", str(mount), "main")
        (mount / ".git").unlink()
        (mount / ".git").write_bytes(admin.git_file(self.dir))
        for folder, _, names in os.walk(os.fsencode(mount)):
            for name in names:  # files of this second would be racy
                os.utime(folder + b"/" + name, ns=(EPOCH_NS, EPOCH_NS), follow_symlinks=False)

    def tree(self, rev: str = "main") -> Oid:
        return Oid(bytes.fromhex(git(self.top, "rev-parse", rev + "^{tree}").strip()))

    def stat(self, path: str) -> Stat:
        """As a view would report it, but for what a directory on disk can't be told: ctime and inode."""
        found = os.lstat(self.mount / path)
        return Stat(found.st_mtime_ns, found.st_size, found.st_ctime_ns, found.st_ino)

    def job(self, **changes) -> Job:
        paths = git(self.top, "ls-tree", "-r", "-z", "--name-only", "main").split("\0")[:-1]
        links = {p for p in paths if (self.mount / p).is_dir() and not (self.mount / p).is_symlink()}
        stats = {os.fsencode(path): self.stat(path) for path in paths if path not in links}
        overrides = {**stats, **changes.pop("overrides", {})}
        known = {"common_dir": self.common, "admin_dir": self.dir, "tree": self.tree(), "epoch_ns": EPOCH_NS}
        return Job(**known, uid=OWNER[0], gid=OWNER[1], overrides=overrides, **changes)

    def debug(self, path: str) -> dict[str, str]:
        words = git(self.mount, "ls-files", "--debug", "--", path).replace("\t", "\n").split("\n")[1:]
        return dict(word.strip().split(": ", 1) for word in words if ": " in word)

    def opened(self, *command: str) -> list[str]:
        """Files of the work tree that a git command opens."""
        trace = self.top.parent / "trace"
        subprocess.run(
            ["strace", "-f", "-e", "trace=open,openat", "-o", str(trace), "git", *command],
            cwd=self.mount, check=True, capture_output=True,
        )  # fmt: skip
        lines = trace.read_text().splitlines()
        return [line for line in lines if "O_DIRECTORY" not in line and '"file' in line]


@pytest.fixture
def top(tmp_path) -> Path:
    top = tmp_path / "repo"
    git(tmp_path, "init", "-q", str(top))
    (top / "deep/er").mkdir(parents=True)
    for name in ("file1", "file2", "deep/file3", "deep/er/file4", "deep/er.file5", "deep-file6"):
        (top / name).write_text(name)
    (top / "file exe").write_text("#!")
    (top / "file exe").chmod(0o755)
    (top / "link").symlink_to("target")
    (top / "empty").touch()
    Path(os.fsdecode(os.fsencode(top) + b"/\xff\xfe")).write_text("odd")
    (top / ("n" * 255)).write_text("long")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    return top


@pytest.fixture
def place(top, tmp_path) -> Place:
    return Place(top, tmp_path / "mount")


def test_git_believes_the_index(place):
    assert indexing.finish(indexing.start(place.job())) == 11
    assert git(place.mount, "status", "--porcelain") == ""
    assert git(place.mount, "write-tree").strip() == place.tree().hex()
    assert git(place.mount, "fsck", "--strict") == ""
    assert git(place.mount, "diff-files") == ""  # without a look at contents
    assert place.opened("status") == []


def test_stat_data_without_overrides(place):
    job = place.job()
    indexing.build(replace(job, overrides={}))
    found = place.debug("file1")
    assert found["mtime"] == found["ctime"] == "1600000000:123456789"
    assert found["size"].split()[0] == "5"
    number = int.from_bytes(hashlib.blake2b(b"file1", digest_size=8).digest(), "big") & ((1 << 61) - 1) | 1 << 16
    assert found["ino"] == str(number & 0xFFFFFFFF)
    assert found["uid"].split()[0] == str(OWNER[0])


def test_the_tree_extension_is_right(place):
    indexing.build(place.job())
    # --ignore-cache-tree counts anew; a commit with a wrong extension would differ
    (place.mount / "deep/er/file4").write_text("changed")
    git(place.mount, "add", "deep")
    fast = git(place.mount, "write-tree")
    (place.dir / "index").unlink()
    git(place.mount, "add", "-A")
    assert git(place.mount, "write-tree") == fast


def test_edited_paths_are_looked_at(place):
    (place.mount / "file1").write_text("filX1")
    os.utime(place.mount / "file1", ns=(EPOCH_NS, EPOCH_NS))
    indexing.build(place.job(overrides={b"file1": None}))
    assert git(place.mount, "status", "--porcelain") == " M file1\n"


@pytest.mark.parametrize("name", ["file1", "deep/er/file4", "link"])
def test_deleted_paths_show(place, name):
    job = place.job()
    (place.mount / name).unlink()
    indexing.build(job)
    assert git(place.mount, "status", "--porcelain") == f" D {name}\n"


def test_conversions(place, top):
    (top / ".gitattributes").write_text("*1 eol=crlf\n*2 eol=lf\n* text=auto\nfile3 filter=nobody\n")
    (top / "file1").write_text("a\n")
    git(top, "add", ".")
    git(top, "commit", "-qm", "two")
    (place.mount / ".gitattributes").touch()
    job = place.job()
    plain = replace(job, overrides={})
    indexing.build(plain)
    assert place.debug("file1")["mtime"] == "0:0"
    assert place.debug("file2")["mtime"] != "0:0"
    assert place.debug("deep/file3")["mtime"] != "0:0"
    # what the view's own attribute files say counts
    view = replace(plain, attribute_files={b".gitattributes": b"*2 ident"})
    indexing.build(Job.from_json(view.to_json()))
    assert place.debug("file1")["mtime"] != "0:0"
    assert place.debug("file2")["mtime"] == "0:0"
    gone = replace(plain, attribute_files={b".gitattributes": None})
    indexing.build(gone)
    assert place.debug("file1")["mtime"] != "0:0"
    git(top, "config", "core.autocrlf", "true")
    indexing.build(gone)
    assert place.debug("file2")["mtime"] == "0:0"
    known = replace(plain, overrides={b"file1": Stat(EPOCH_NS, 3)})
    indexing.build(known)
    assert place.debug("file1")["size"].split()[0] == "3"


def test_submodules(place, top, tmp_path):
    git(tmp_path, "clone", "-q", str(top), "inner")
    git(top, "submodule", "--quiet", "add", str(tmp_path / "inner"), "deep/sub")
    git(top, "commit", "-qm", "with a submodule")
    for path in (".gitmodules", "deep/sub"):
        git(top, "archive", "main", path, "-o", str(tmp_path / "a.tar"))
        subprocess.run(["tar", "xf", tmp_path / "a.tar", "-C", place.mount], check=True)
    indexing.build(place.job())
    assert git(place.mount, "status", "--porcelain") == ""
    assert git(place.mount, "submodule", "status").startswith("-")


def test_an_empty_tree(place):
    empty = Oid(bytes.fromhex(git(place.top, "mktree", stdin="").strip()))
    job = place.job()
    assert indexing.build(replace(job, tree=empty, overrides={})) == 0
    assert git(place.mount, "ls-files") == ""


@pytest.mark.parametrize("dirty", [[], [0], [0, 3], [10], list(range(11))])
def test_the_monitors_state(place, dirty):
    names = sorted(place.job().overrides)
    job = place.job(overrides=dict.fromkeys([names[n] for n in dirty]), fsmonitor_token="token-1")
    hook = place.common / "hook"
    hook.write_text(f'#!/bin/sh\necho "$2" >>{place.common}/asked\nprintf "token-2\\0"\n')
    hook.chmod(0o755)
    git(place.top, "config", "core.fsmonitor", str(hook))
    indexing.build(job)
    lines = git(place.mount, "ls-files", "-z", "-f").split("\0")[:-1]
    assert [n for n, line in enumerate(lines) if line[0] == "H"] == dirty
    assert (place.common / "asked").read_text().split()[0] == "token-1"
    assert git(place.mount, "status", "--porcelain") == ""


class TestLocks:
    def test_a_lock_of_a_dead_process_of_ours_is_no_lock(self, place):
        child = os.fork()
        if child == 0:
            with indexing.locked_index(place.dir):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert (place.dir / "index.lock").exists()
        with indexing.locked_index(place.dir, wait_seconds=0):
            pass
        assert list(place.dir.glob("index.lock*")) == []

    def test_a_held_lock_is_waited_for_and_respected(self, place):
        (place.dir / "index.lock").touch()
        with pytest.raises(IndexLocked), indexing.locked_index(place.dir, wait_seconds=0):
            raise AssertionError
        assert (place.dir / "index.lock").exists()

    def test_a_failure_leaves_the_old_index(self, place):
        indexing.build(place.job())
        before = (place.dir / "index").read_bytes()
        job = place.job()
        wrong = replace(job, tree=Oid(bytes(20)))
        with pytest.raises(indexing.IndexingFailed, match="fatal"):
            indexing.finish(indexing.start(wrong))
        assert (place.dir / "index").read_bytes() == before
        assert not admin.lock_held(place.dir)


class TestAfterACommit:
    def commit(self, place: Place, **files: str | None) -> tuple[Oid, Oid]:
        """A commit made by another road: the branch moves, and the mount shows the new files."""
        old = place.tree()
        for name, text in files.items():
            path = name.replace("__", "/")
            for where in (place.top, place.mount):
                if text is None:
                    (where / path).unlink()
                else:
                    (where / path).parent.mkdir(exist_ok=True)
                    (where / path).write_text(text)
                    os.utime(where / path, ns=(EPOCH_NS, EPOCH_NS))
        git(place.top, "add", "-A")
        git(place.top, "commit", "-qm", "more")
        return old, place.tree()

    def test_nothing_is_left_to_look_at(self, place):
        indexing.build(place.job())
        old, new = self.commit(place, file1="changed", deep__file3=None, dir__file7="new", file8="x")
        stats = {os.fsencode(name): place.stat(name) for name in ("file1", "dir/file7", "file8")}
        assert update_after_commit(place.dir, old, new, stats, OWNER) == 4
        assert git(place.mount, "diff-files") == ""
        assert place.opened("status") == []
        assert git(place.mount, "status", "--porcelain") == ""
        assert git(place.mount, "write-tree").strip() == new.hex()
        assert update_after_commit(place.dir, new, new, {}, OWNER) == 0
        assert not list(place.dir.glob("index.anvcs*"))

    def test_what_is_staged_elsewhere_stays(self, place):
        indexing.build(place.job())
        for name in ("file2", "file1"):
            (place.mount / name).write_text("staged")
            git(place.mount, "add", name)
        old, new = self.commit(place, file1="changed", file8="x")
        update_after_commit(place.dir, old, new, {}, OWNER, keep_staged=True)
        assert git(place.mount, "show", ":file2") == "staged"
        assert git(place.mount, "show", ":file1") == "staged"
        assert git(place.mount, "status", "--porcelain", "file8") == ""
        update_after_commit(place.dir, old, new, {}, OWNER)
        assert git(place.mount, "show", ":file1") == "changed"
        assert git(place.mount, "show", ":file2") == "staged"
        assert git(place.mount, "status", "--porcelain") == "M  file2\n"

    def test_a_file_becomes_a_directory(self, place):
        indexing.build(place.job())
        old = place.tree()
        for where in (place.top, place.mount):
            (where / "file1").unlink()
            (where / "file1").mkdir()
            (where / "file1/x").write_text("x")
        git(place.top, "add", "-A")
        git(place.top, "commit", "-qm", "more")
        update_after_commit(place.dir, old, place.tree(), {b"file1/x": place.stat("file1/x")}, OWNER)
        assert git(place.mount, "status", "--porcelain") == ""

    def test_an_unfinished_merge_of_the_path_is_settled(self, place):
        indexing.build(place.job())
        blob = git(place.top, "rev-parse", "main:file2").strip()
        git(
            place.mount,
            "update-index",
            "--index-info",
            stdin=f"0 {'0' * 40}\tfile1\n100644 {blob} 1\tfile1\n100644 {blob} 2\tfile1\n",
        )
        assert git(place.mount, "status", "--porcelain", "file1").startswith("UD")
        old, new = self.commit(place, file1="changed")
        update_after_commit(place.dir, old, new, {b"file1": place.stat("file1")}, OWNER)
        assert git(place.mount, "status", "--porcelain") == ""

    def test_the_extensions_stay(self, place):
        admin.ensure_settings(place.common)
        hook = place.common / "anvcs/fsmonitor"
        hook.write_text(f'#!/bin/sh\necho "$2" >>{place.common}/asked\nprintf "token\\0"\n')
        indexing.build(place.job(fsmonitor_token="token"))
        (place.mount / "untracked").touch()
        git(place.mount, "status")
        git(place.mount, "status")
        old, new = self.commit(place, file1="changed")
        asked = (place.common / "asked").read_text()
        update_after_commit(place.dir, old, new, {b"file1": place.stat("file1")}, OWNER)
        data = (place.dir / "index").read_bytes()
        assert [name for name in (b"TREE", b"UNTR", b"FSMN") if name not in data] == []
        assert str(place.mount).encode() in data
        assert (place.common / "asked").read_text() == asked  # our own git keeps the view's hook out
        lines = git(place.mount, "ls-files", "-f").splitlines()
        assert [line for line in lines if line.startswith("H")] == ["H file1"]
        assert git(place.mount, "status", "--porcelain") == "?? untracked\n"

    def test_without_an_index(self, place):
        assert update_after_commit(place.dir, None, place.tree(), {}, OWNER) == 0

    def test_a_held_lock(self, place):
        indexing.build(place.job())
        old, new = self.commit(place, file1="changed")
        (place.dir / "index.lock").touch()
        with pytest.raises(IndexLocked):
            update_after_commit(place.dir, old, new, {}, OWNER, wait_seconds=0.05)

    def test_version_4(self, place):
        indexing.build(place.job())
        git(place.mount, "update-index", "--index-version", "4")
        old, new = self.commit(place, file1="changed")
        update_after_commit(place.dir, old, new, {b"file1": place.stat("file1")}, OWNER)
        assert git(place.mount, "status", "--porcelain") == ""
