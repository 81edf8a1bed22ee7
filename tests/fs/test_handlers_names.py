"""Lookups, references, directory streams: the handlers as the kernel sees them."""

import errno
import os
import stat

import pytest

from anvcs.model.ids import inode_number
from anvcs.model.tree import TreeEntry
from anvcsfs.nodes import Dir, Place
from support.fake_kernel import ROOT, FakeKernel, Process


def refused(number: int):
    """The request fails with errno *number*."""
    return pytest.raises(OSError, check=lambda error: error.errno == number)


def test_a_tracked_file_has_the_inode_number_of_its_path(kernel: FakeKernel):
    assert kernel.at(b"src/deep/c.py").ino == inode_number(b"src/deep/c.py")
    assert kernel.read(b"src/deep/c.py") == b"c\n"


def test_a_missing_name_leaves_nothing_behind(kernel: FakeKernel):
    before = len(kernel.table.inodes)
    assert kernel.lookup(ROOT, b"nothing") is None
    assert len(kernel.table.inodes) == before


def test_a_missing_name_appears_when_it_is_made(kernel: FakeKernel):
    assert kernel.find(b"new") is None
    kernel.write(b"new", b"now")
    assert kernel.read(b"new") == b"now"
    kernel.unlink(b"new")
    assert kernel.find(b"new") is None


def test_a_removed_tracked_name_is_missing_also_after_it_was_forgotten(kernel: FakeKernel):
    kernel.unlink(b"src/a.py")
    kernel.forget_all()
    assert kernel.find(b"src/a.py") is None
    assert kernel.names(b"src") == [b".", b"..", b"b.py", b"deep"]


def test_names_that_no_file_can_have(kernel: FakeKernel):
    with refused(errno.ENAMETOOLONG):
        kernel.lookup(ROOT, b"n" * 256)
    with refused(errno.ENOTDIR):
        kernel.lookup(kernel.at(b"main.py").ino, b"x")
    with refused(errno.ESTALE):
        kernel.lookup(12345, b"x")


@pytest.mark.parametrize("name", [b".anvcs", b".anvcs/status"])
def test_control_names_are_ours(kernel: FakeKernel, name: bytes):
    for attempt in (kernel.unlink, kernel.rmdir, kernel.mkdir, lambda path: kernel.rename(path, b"elsewhere")):
        with refused(errno.EPERM):
            attempt(name)
    with refused(errno.EPERM):
        kernel.rename(b"main.py", name)


def test_control_names_are_found_and_not_listed(kernel: FakeKernel):
    assert b".anvcs" not in kernel.names()
    assert b"status" in kernel.names(b".anvcs")
    assert b"main.py" in kernel.names(b".anvcs/refs/heads/main")
    # One directory below the top is listed: `find` and others believe the link count.
    assert kernel.at(b"").nlink == 2 + sum(isinstance(kernel.find(name), Dir) for name in kernel.names()[2:])


def test_a_read_only_view_refuses_changes(make_kernel):
    kernel = make_kernel(read_only=True)
    for attempt in (
        lambda: kernel.write(b"main.py", b"x"),
        lambda: kernel.write(b"new", b"x"),
        lambda: kernel.unlink(b"main.py"),
        lambda: kernel.mkdir(b"new"),
        lambda: kernel.set(b"main.py", mode=0o600),
    ):
        with refused(errno.EROFS):
            attempt()
    assert kernel.read(b"main.py") == b"one\ntwo\nthree\n"


# References


def nodes_at_rest(kernel: FakeKernel) -> int:
    """How many nodes there are when the kernel knows none; the directories of ``.anvcs/refs`` stay once made."""
    kernel.walk(b".anvcs")
    kernel.forget_all()
    return len(kernel.table.inodes)


def test_all_nodes_are_dropped_after_a_walk_and_a_forget(kernel: FakeKernel):
    start = nodes_at_rest(kernel)
    assert b"src/deep/c.py" in kernel.walk()
    assert len(kernel.table.inodes) > start + 8
    kernel.forget_all()
    assert len(kernel.table.inodes) == start


def test_content_goes_with_most_nodes(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("anvcsfs.inodes._MANY", 100)
    kernel.mkdir(b"build")
    for number in range(200):
        kernel.write(b"build/%d" % number, b"")
    kernel.read(b"main.py")
    main = kernel.at(b"main.py").source
    assert isinstance(main, TreeEntry)
    kernel.table.slim()
    assert kernel.table.view.cache.get(main.oid) is not None
    kernel.forget_all()
    kernel.table.slim()
    assert kernel.table.view.cache.get(main.oid) is None
    assert kernel.read(b"main.py") == b"one\ntwo\nthree\n"


def test_all_nodes_are_dropped_after_work_of_all_kinds(kernel: FakeKernel):
    start = nodes_at_rest(kernel)
    kernel.write(b"new", b"x")
    kernel.write(b"noise.log", b"x")
    kernel.mkdir(b"build")
    kernel.write(b"build/out", b"x")
    kernel.mkdir(b"fresh")
    kernel.symlink(b"new", b"fresh/pointer")
    kernel.link(b"main.py", b"second.py")
    kernel.link(b"noise.log", b"second.log")
    kernel.write(b"main.py", b"changed\n")
    kernel.rename(b"src", b"lib")
    kernel.unlink(b"lib/a.py")
    kernel.table.publisher.publish_all()
    kernel.walk()
    kernel.forget_all()
    assert len(kernel.table.inodes) == start
    kernel.walk()
    kernel.forget_all()
    assert len(kernel.table.inodes) == start


def test_a_node_lives_until_its_last_reference(kernel: FakeKernel):
    ino = kernel.at(b"main.py").ino
    kernel.at(b"main.py")
    kernel.forget(ino, 1)
    assert kernel.table.getattr(ino).name == b"main.py"
    kernel.forget(ino, 1)
    with refused(errno.ESTALE):
        kernel.table.getattr(ino)


@pytest.mark.parametrize("verb", ["mkdir", "symlink", "mknod", "create", "link"])
def test_each_birth_is_one_reference(kernel: FakeKernel, verb: str):
    start = len(kernel.table.inodes)
    born = {
        "mkdir": lambda: kernel.mkdir(b"new"),
        "symlink": lambda: kernel.symlink(b"target", b"new"),
        "mknod": lambda: kernel.mknod(b"new", stat.S_IFREG | 0o644),
        "create": lambda: kernel.write(b"new", b"x"),
        "link": lambda: kernel.link(b"main.py", b"new"),
    }
    node = born[verb]()
    assert node.nlookup == kernel.references[node.ino]
    kernel.forget_all()
    assert len(kernel.table.inodes) == start


def test_an_open_file_outlives_its_references(kernel: FakeKernel):
    handle = kernel.open(b"main.py", os.O_RDWR)
    kernel.put(handle, b"ONE", 0)
    kernel.forget_all()
    assert kernel.get(handle) == b"ONE\ntwo\nthree\n"
    kernel.close(handle)
    assert not kernel.table.inodes.has(handle.node)
    assert kernel.read(b"main.py") == b"ONE\ntwo\nthree\n"


@pytest.mark.parametrize("name", [b"main.py", b"new.py", b"noise.log"])
def test_a_file_removed_while_open_keeps_its_bytes_until_it_is_closed(kernel: FakeKernel, name: bytes):
    start = len(kernel.table.inodes)
    kernel.write(name, b"kept\n")
    handle = kernel.open(name, os.O_RDWR)
    kernel.unlink(name)
    assert kernel.get(handle) == b"kept\n"
    kernel.put(handle, b"K")
    assert kernel.get(handle) == b"Kept\n"
    assert kernel.table.status(handle.node, handle).nlink == 0
    kernel.close(handle)
    assert kernel.find(name) is None
    kernel.forget_all()
    assert len(kernel.table.inodes) == start


def test_a_directory_stays_while_a_child_is_known(kernel: FakeKernel):
    child = kernel.at(b"src/a.py")
    parent = child.parent
    kernel.forget(parent.ino, kernel.references[parent.ino])
    assert kernel.table.inodes.has(parent)
    kernel.forget(child.ino, kernel.references[child.ino])
    assert not kernel.table.inodes.has(child)
    assert not kernel.table.inodes.has(parent)


def test_a_number_is_kept_when_the_node_is_made_again(kernel: FakeKernel):
    kernel.write(b"old.py", b"x")
    kernel.table.publisher.publish_all()
    before = kernel.at(b"old.py").ino
    kernel.rename(b"old.py", b"new.py")
    kernel.forget_all()
    assert kernel.at(b"new.py").ino == before
    assert kernel.stat(b"new.py").ino == before


def test_a_new_file_at_the_name_of_a_living_one_gets_another_number(kernel: FakeKernel):
    handle = kernel.open(b"main.py")
    kernel.rename(b"main.py", b"moved.py")
    node = kernel.write(b"main.py", b"another\n")
    assert node.ino != handle.node.ino
    assert kernel.read(b"moved.py") == b"one\ntwo\nthree\n"
    assert kernel.read(b"main.py") == b"another\n"
    kernel.close(handle)


def test_a_second_name_stays_when_the_first_is_removed_and_nobody_has_looked_it_up(make_kernel):
    make_kernel().link(b"main.py", b"second.py")
    kernel = make_kernel()
    node = kernel.at(b"main.py")
    kernel.unlink(b"main.py")
    found = kernel.at(b"second.py")
    assert found.ino == node.ino
    assert kernel.stat(b"second.py").nlink == 1
    assert found.path == b"second.py"
    kernel.write(b"second.py", b"changed\n")
    kernel.forget_all()
    assert kernel.read(b"second.py") == b"changed\n"
    assert kernel.find(b"main.py") is None


def test_a_replaced_name_of_a_hard_link_leaves_the_other(kernel: FakeKernel):
    kernel.link(b"main.py", b"second.py")
    kernel.write(b"temporary", b"replaced\n")
    kernel.rename(b"temporary", b"main.py")
    assert kernel.read(b"second.py") == b"one\ntwo\nthree\n"
    assert kernel.stat(b"second.py").nlink == 1


# Directory streams


def test_a_directory_begins_with_itself_and_counts_up(kernel: FakeKernel):
    with kernel.directory(b"src") as entries:
        assert [(name, cookie) for name, _, cookie in entries()] == [
            (b".", 1),
            (b"..", 2),
            (b"a.py", 3),
            (b"b.py", 4),
            (b"deep", 5),
        ]


def test_listing_alone_gives_no_reference(kernel: FakeKernel):
    with kernel.directory(b"src") as entries:
        nodes = [node for name, node, cookie in entries() if cookie > 2]
    assert {node.nlookup for node in nodes} == {0}


@pytest.mark.parametrize("directory", [b"src", b"fresh", b"build"])
def test_reading_goes_on_at_its_cookie_over_deletions(kernel: FakeKernel, directory: bytes):
    if directory != b"src":
        kernel.mkdir(directory)
        for number in range(6):
            kernel.write(b"%s/f%d" % (directory, number), b"x")
    with kernel.directory(directory) as entries:
        everything = [name for name, _, _ in entries()]
        first = entries()[:4]
        for name, _, _ in first[2:]:
            kernel.unlink(directory + b"/" + name)
        rest = [name for name, _, _ in entries(first[-1][2])]
    assert [name for name, _, _ in first] + rest == everything


def test_a_name_that_goes_before_it_is_reached_is_left_out(kernel: FakeKernel):
    with kernel.directory(b"src") as entries:
        first = entries()[:3]
        kernel.unlink(b"src/b.py")
        assert [name for name, _, _ in entries(first[-1][2])] == [b"deep"]


def test_a_directory_read_from_its_start_again_shows_what_is_new(kernel: FakeKernel):
    with kernel.directory(b"src") as entries:
        entries()
        kernel.write(b"src/new.py", b"x")
        assert b"new.py" not in [name for name, _, _ in entries(3)]
        assert b"new.py" in [name for name, _, _ in entries(0)]


def test_a_removed_directory_reads_empty(kernel: FakeKernel):
    kernel.mkdir(b"fresh")
    handle = kernel.table.opendir(kernel.at(b"fresh").ino)
    kernel.rmdir(b"fresh")
    assert list(kernel.table.readdir(handle.number, 0)) == []
    with refused(errno.ENOENT):
        kernel.table.create(handle.node.ino, b"new", 0o644, os.O_WRONLY, kernel.process)
    kernel.table.releasedir(handle.number)
    kernel.forget_all()
    assert not kernel.table.inodes.has(handle.node)


def test_a_full_directory_is_not_removed(kernel: FakeKernel):
    for name in (b"src", b"build"):
        if name == b"build":
            kernel.mkdir(name)
            kernel.write(b"build/out", b"x")
        with refused(errno.ENOTEMPTY):
            kernel.rmdir(name)


def test_an_emptied_directory_stays_until_it_is_removed(kernel: FakeKernel):
    kernel.unlink(b"src/deep/c.py")
    assert kernel.names(b"src/deep") == [b".", b".."]
    kernel.rmdir(b"src/deep")
    kernel.forget_all()
    assert kernel.names(b"src") == [b".", b"..", b"a.py", b"b.py"]


def test_history_can_be_read_and_not_changed(kernel: FakeKernel):
    commit = kernel.table.view.room.base.hex().encode()
    path = b".anvcs/commits/" + commit + b"/src/a.py"
    assert kernel.read(path) == b"a\n"
    assert kernel.at(path).place is Place.HISTORY
    with refused(errno.EROFS):
        kernel.unlink(path)
    with refused(errno.EROFS):
        kernel.write(path, b"x")


def test_who_makes_a_file_in_the_view_owns_it(kernel: FakeKernel):
    if os.getuid() != 0:
        pytest.skip("only root can be another user")
    kernel.process = Process(os.getpid(), 1234, 4321)
    for name in (b"new.py", b"noise.log"):
        kernel.write(name, b"x")
        assert kernel.stat(name)[3:5] == (1234, 4321)
    kernel.mkdir(b"fresh")
    kernel.table.publisher.publish_all()
    kernel.forget_all()
    assert kernel.stat(b"new.py")[3:5] == (1234, 4321)
    assert kernel.stat(b"fresh")[3:5] == (1234, 4321)
