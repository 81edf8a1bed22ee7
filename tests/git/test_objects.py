"""Objects read and written by us, compared with what plain Git says about them."""

import hashlib
import os
import subprocess
import threading

import pytest

from anvcs.git.objects import (
    EMPTY_TREE,
    AmbiguousPrefix,
    DamagedObject,
    MissingObject,
    NoSuchCommit,
    ObjectStore,
    WrongType,
)
from anvcs.model.ids import Oid
from anvcs.model.tree import DIRECTORY, EXECUTABLE, GITLINK, REGULAR, SYMLINK, Leaf, TreeEntry
from support.plumbing import Repo

ABSENT = Oid(b"\x01" * 20)
ODD = (b"-dash", b"new\nline", b"\xff\xfe", "\N{SNAKE}".encode(), b"with space", b"n" * 255, b"a.b", b"a-b", b"a")


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def listed(repo: Repo, tree: str) -> list[tuple[bytes, int, Oid]]:
    """``git ls-tree -r``."""
    entries = []
    for line in repo.raw("ls-tree", "-r", "-z", tree).split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, oid = head.split(b" ")
        entries.append((path, int(mode, 8), Oid(bytes.fromhex(oid.decode()))))
    return entries


def test_header_blob_and_kind(repo):
    oid = Oid(bytes.fromhex(repo.git("hash-object", "-w", "--stdin", stdin=b"x" * 1000)))
    assert repo.store.header(oid) == 1000
    assert repo.store.blob(oid) == b"x" * 1000
    assert repo.store.kind(oid) == "blob"
    assert repo.store.has(oid)
    assert not repo.store.has(ABSENT)
    assert repo.store.find_blob(repo.store.blob(oid)) == oid
    assert repo.store.find_blob(b"nowhere yet\n") is None


def test_errors_name_the_object(repo):
    commit = repo.commit({"a": "a"})
    with pytest.raises(MissingObject) as missing:
        repo.store.header(ABSENT)
    assert missing.value.oid == ABSENT
    with pytest.raises(WrongType, match="is a commit, not a blob"):
        repo.store.blob(commit)
    with pytest.raises(WrongType):
        repo.store.header(commit)
    with pytest.raises(WrongType):
        repo.store.tree(commit)


def test_what_we_write_is_what_git_writes(repo):
    for data in (b"", b"a", b"\0" * 5000, os.urandom(3000)):
        oid = repo.store.write_blob(data)
        assert oid.hex() == repo.git("hash-object", "--stdin", stdin=data)
        assert repo.raw("cat-file", "blob", oid.hex()) == data
        assert repo.store.write_blob(data) == oid
    repo.fsck()


def test_trees_with_odd_names(repo):
    leaves = {b"dir/" + name: Leaf(REGULAR, repo.store.write_blob(name)) for name in ODD}
    leaves[b"a/inside"] = Leaf(EXECUTABLE, repo.store.write_blob(b"x"))
    leaves[b"link"] = Leaf(SYMLINK, repo.store.write_blob(b"dir"))
    leaves[b"sub"] = Leaf(GITLINK, ABSENT)
    tree = repo.store.write_tree(None, leaves)
    assert list(repo.store.walk(tree)) == listed(repo, tree.hex())
    assert {path: (mode, oid) for path, mode, oid in listed(repo, tree.hex())} == leaves
    assert repo.store.find(tree, b"dir/" + ODD[1]) == TreeEntry(ODD[1], *leaves[b"dir/" + ODD[1]])
    assert repo.store.find(tree, b"") == TreeEntry(b"", DIRECTORY, tree)
    assert repo.store.find(tree, b"dir/none") is None
    assert repo.store.find(tree, b"link/x") is None
    assert list(repo.store.walk(repo.store.find(tree, b"a").oid, b"a")) == [(b"a/inside", *leaves[b"a/inside"])]
    repo.fsck()


def test_the_empty_tree_needs_no_object(repo):
    assert repo.store.tree(EMPTY_TREE) == ()
    assert repo.store.write_tree(None, {}) == EMPTY_TREE


def test_deep_paths_need_no_recursion(repo):
    path = b"/".join([b"d"] * 1500)
    blob = repo.store.write_blob(b"deep")
    tree = repo.store.write_tree(None, {path: Leaf(REGULAR, blob)})
    assert list(repo.store.walk(tree)) == [(path, REGULAR, blob)]
    assert [change.path for change in repo.store.diff(None, tree)] == [path]
    assert repo.store.write_tree(tree, {path: None}) == EMPTY_TREE


def test_old_modes_read_as_git_shows_them(repo):
    blob = repo.store.write_blob(b"x")
    raw = b"100664 a\0" + blob + b"100775 b\0" + blob
    tree = Oid(bytes.fromhex(repo.git("hash-object", "-w", "-t", "tree", "--stdin", stdin=raw)))
    assert [entry.mode for entry in repo.store.tree(tree)] == [REGULAR, EXECUTABLE]


def test_a_damaged_tree_is_named(repo):
    blob = repo.store.write_blob(b"x")
    raw = b"100644 a\0" + blob + b"junk"
    command = ("hash-object", "-w", "-t", "tree", "--literally", "--stdin")
    tree = Oid(bytes.fromhex(repo.git(*command, stdin=raw)))
    with pytest.raises(DamagedObject) as damaged:
        repo.store.tree(tree)
    assert damaged.value.oid == tree


def test_flipped_bits_are_not_served(repo, tmp_path):
    oid = repo.store.write_blob(b"precious" * 100)
    file = repo.git_dir / "objects" / oid.hex()[:2] / oid.hex()[2:]
    other = repo.store.write_blob(b"something else" * 100)
    source = repo.git_dir / "objects" / other.hex()[:2] / other.hex()[2:]
    file.chmod(0o644)
    file.write_bytes(source.read_bytes())
    with pytest.raises(DamagedObject):
        repo.store.blob(oid)
    with pytest.raises(DamagedObject):
        repo.store.spool_blob(oid, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_big_blobs_go_through_files(repo, tmp_path):
    data = os.urandom(3 << 20)
    (tmp_path / "in").write_bytes(data)
    oid = repo.store.write_blob_file(tmp_path / "in")
    assert oid == hashlib.sha1(b"blob %d\0" % len(data) + data).digest()
    repo.store.spool_blob(oid, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    with pytest.raises(MissingObject):
        repo.store.spool_blob(ABSENT, tmp_path / "none")


def test_writing_a_file_applies_no_filters(repo, tmp_path):
    (repo.path / ".gitattributes").write_text("* text=auto eol=crlf\n")
    (tmp_path / "in").write_bytes(b"a\r\nb\r\n")
    assert repo.store.blob(repo.store.write_blob_file(tmp_path / "in")) == b"a\r\nb\r\n"


@pytest.mark.parametrize(
    "repack",
    [
        ["gc", "-q", "--prune=now"],
        ["repack", "-adq", "--write-midx"],
        ["multi-pack-index", "write"],
        ["repack", "-dq"],
        ["pack-refs", "--all"],
    ],
)
def test_objects_are_found_after_git_repacked(repo, repack):
    repo.commit({f"f{number}": str(number) for number in range(5)})
    repo.git("repack", "-dq")
    repo.commit({f"g{number}": str(number) for number in range(5)})
    repo.git("repack", "-dq")
    first = listed(repo, "HEAD")
    assert repo.store.header(first[0][2]) == 1  # opens one pack; the other is only known
    commit = repo.commit({f"h{number}": str(number) for number in range(5)})
    repo.git(*repack)
    for path, _, oid in listed(repo, "HEAD"):
        assert repo.store.header(oid) == 1, path
        assert repo.store.blob(oid) == path[1:]
    repo.git("repack", "-adfq")
    assert repo.store.commit_info(commit).message == b"change\n"
    assert [path for path, _, _ in repo.store.walk(repo.store.tree_of(commit))] == [
        p for p, _, _ in listed(repo, "HEAD")
    ]


def test_objects_of_an_alternate(repo, tmp_path):
    repo.commit({"a": "from the original"})
    subprocess.run(["git", "clone", "-q", "--shared", repo.path, tmp_path / "clone"], check=True)
    clone = Repo(tmp_path / "clone")
    assert clone.store.blob(repo.oid("HEAD:a")) == b"from the original"


def test_a_linked_worktree_opens_the_common_directory(repo, tmp_path):
    repo.commit({"a": "a"})
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    store = ObjectStore(repo.git_dir / "worktrees/linked")
    assert store.common_dir == repo.git_dir
    assert store.blob(repo.oid("HEAD:a")) == b"a"


def test_extensions_about_other_things_do_not_matter(repo):
    repo.commit({"a": "a"})
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.partialClone", "origin")
    repo.git("config", "extensions.worktreeConfig", "true")
    assert ObjectStore(repo.git_dir).blob(repo.oid("HEAD:a")) == b"a"


def test_resolve_and_prefixes(repo):
    commit = repo.commit({"a": "a"})
    repo.git("tag", "-a", "-m", "tag", "v1")
    store = repo.store
    assert store.resolve("HEAD") == store.resolve("v1") == store.resolve(commit.hex()) == commit
    assert store.resolve("HEAD^0") == store.commit_by_prefix(commit.hex()[:7]) == commit
    assert store.commit_by_prefix(commit.hex().upper()) == commit
    for spec in ("none", "HEAD:a", "--all", "", "HEAD~7"):
        with pytest.raises(NoSuchCommit):
            store.resolve(spec)
    for prefix in ("abc", "not-hex", "", "0" * 40, "0" * 41, ABSENT.hex()[:8]):
        with pytest.raises(NoSuchCommit):
            store.commit_by_prefix(prefix)


def test_a_prefix_shared_by_commits_is_ambiguous_and_blobs_do_not_count(repo):
    repo.commit({"a": "a"})
    head = repo.oid("HEAD")
    seen: dict[str, Oid] = {}
    for number in range(2000):
        commit = repo.commit_tree({}, head, message=b"%d\n" % number)
        other = seen.setdefault(commit.hex()[:4], commit)
        if other != commit:
            break
    with pytest.raises(AmbiguousPrefix) as caught:
        repo.store.commit_by_prefix(commit.hex()[:4])
    assert set(caught.value.candidates) == {commit, other}
    number = 0
    while True:  # a blob that begins like our commit
        number += 1
        name = hashlib.sha1(b"blob 8\0%08d" % number).hexdigest()
        if name[:4] == head.hex()[:4]:
            repo.store.write_blob(b"%08d" % number)
            break
    assert repo.store.commit_by_prefix(head.hex()[:4]) == head


def test_threads_write_and_read_at_once(repo):
    errors = []

    def work(seed: int) -> None:
        try:
            for number in range(30):
                data = b"%d/%d" % (seed % 2, number)  # two threads write the same objects
                tree = repo.store.write_tree(None, {data: Leaf(REGULAR, repo.store.write_blob(data))})
                assert [path for path, _, _ in repo.store.walk(tree)] == [data]
            repo.store.sync()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    repo.fsck()


def test_a_full_disk_leaves_no_scraps(repo, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space left"):
        repo.store.write_blob(b"lost")
    monkeypatch.undo()
    assert not [file for file in (repo.git_dir / "objects").rglob("tmp_obj_*") if file.is_file()]
    assert repo.store.blob(repo.store.write_blob(b"lost")) == b"lost"


def test_sync_covers_every_kind_of_file_system(repo, monkeypatch):
    repo.store.write_blob(b"one")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), fsync(fd)))
    monkeypatch.setattr("anvcs.git.loose._shares_journal", lambda *_: False)
    repo.store.write_blob(b"two")
    repo.store.sync()
    assert len(synced) == 2
    repo.store.sync()
    assert len(synced) == 2


def test_a_shared_repository_stays_writable_for_the_group(tmp_path):
    repo = Repo(tmp_path / "shared", "--shared=group")
    oid = repo.store.write_blob(b"ours")
    folder = repo.git_dir / "objects" / oid.hex()[:2]
    assert folder.stat().st_mode & 0o2070 == 0o2070
