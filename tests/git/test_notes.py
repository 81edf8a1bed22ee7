"""Notes written by us and by git notes, on two sides at once."""

import json
import os
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anvcs.git.notes import NOTES_REF, Notes, NoteTooLarge, merge_texts
from anvcs.git.refs import Refs
from anvcs.model.ids import Oid
from anvcs.model.tree import REGULAR, Leaf
from support.plumbing import WHO, Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a": "a"})
    return repo


def commits(repo: Repo, count: int) -> list[Oid]:
    return [repo.commit_tree({}, repo.oid("HEAD"), message=b"%d\n" % number) for number in range(count)]


def shown(repo: Repo, commit: Oid) -> bytes:
    return repo.raw("notes", "--ref=anvcs", "show", commit.hex())


def test_git_shows_what_we_write(repo):
    head = repo.oid("HEAD")
    assert repo.notes.read(head) is None
    repo.notes.write({head: b'{"id": 1}\n'}, who=WHO)
    assert repo.notes.read(head) == shown(repo, head) == b'{"id": 1}\n'
    assert '{"id": 1}' in repo.git("log", "-1", "--notes=anvcs")
    repo.notes.write({head: b"second\n"}, who=WHO)
    assert repo.notes.read(head) == b"second\n"
    assert len(repo.git("rev-list", NOTES_REF).split()) == 2
    assert repo.notes.write({head: b"second\n"}, who=WHO) == repo.refs.get(NOTES_REF)  # nothing changed
    repo.notes.write({head: b""}, who=WHO)
    assert repo.notes.read(head) is None
    repo.fsck()


def test_a_note_may_be_lost_with_the_power_and_a_commit_not(repo, monkeypatch):
    """Both have their objects and values synced before they are named; the note's name itself isn't."""
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    commit = repo.oid("HEAD")
    repo.refs.move("refs/heads/other", commit, None, "made")
    assert synced[-2].startswith(f"{repo.git_dir}/anvcs-ref.lock.")  # the lock's other name
    assert synced[-1] == f"{repo.git_dir}/refs/heads"
    del synced[:]
    repo.notes.write({commit: b"note"}, who=WHO)
    assert synced[0].startswith(f"{repo.git_dir}/objects/")
    assert synced[-1].startswith(f"{repo.git_dir}/anvcs-ref.lock.")


def test_removing_where_there_is_nothing(repo):
    assert repo.notes.write({repo.oid("HEAD"): b""}, who=WHO) is None
    assert repo.refs.get(NOTES_REF) is None


@pytest.mark.parametrize("split", [(), (2,), (2, 4), (2, 4, 6)])
def test_any_fan_out_is_read_and_kept_single(repo, split):
    head = repo.oid("HEAD")
    name = head.hex().encode()
    cuts = (0, *split, len(name))
    path = b"/".join(name[start:end] for start, end in pairwise(cuts))
    tree = repo.store.write_tree(
        None,
        {path: Leaf(REGULAR, repo.store.write_blob(b"old\n")), b"README": Leaf(REGULAR, repo.store.write_blob(b"x"))},
    )
    repo.git("update-ref", NOTES_REF, repo.git("commit-tree", "-m", "n", tree.hex()))
    assert repo.notes.read(head) == b"old\n"
    assert list(repo.notes.items()) == [(head, b"old\n")]
    repo.notes.write({head: b"new\n"}, who=WHO)
    assert list(repo.notes.items()) == [(head, b"new\n")]
    assert shown(repo, head) == b"new\n"


def test_many_notes_and_git_between(repo):
    many = commits(repo, 60)
    repo.notes.write({commit: b"%d\n" % number for number, commit in enumerate(many)}, who=WHO)
    repo.git("notes", "--ref=anvcs", "add", "-f", "-m", "by git", many[3].hex())
    repo.git("notes", "--ref=anvcs", "remove", many[4].hex())
    repo.notes.write({many[5]: b"five\n"}, who=WHO)
    wanted = {commit: b"%d\n" % number for number, commit in enumerate(many)}
    wanted |= {many[3]: b"by git\n", many[5]: b"five\n"}
    del wanted[many[4]]
    assert dict(repo.notes.items()) == wanted
    for commit, note in list(wanted.items())[:8]:
        assert repo.notes.read(commit) == shown(repo, commit) == note
    repo.fsck()


def test_threads_lose_nothing(repo):
    many = commits(repo, 24)

    def work(mine: list[Oid]) -> None:
        notes = Notes(repo.store, Refs(repo.store, WHO))
        for commit in mine:
            notes.write({commit: commit.hex().encode()}, who=WHO)

    threads = [threading.Thread(target=work, args=(many[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(repo.notes.items()) == {commit: commit.hex().encode() for commit in many}


def test_a_huge_note_is_refused(repo, monkeypatch):
    repo.notes.write({repo.oid("HEAD"): b"x" * 100}, who=WHO)
    monkeypatch.setattr("anvcs.git.notes.NOTE_LIMIT", 99)
    with pytest.raises(NoteTooLarge):
        repo.notes.read(repo.oid("HEAD"))


def diverged(repo: Repo, ours: dict[Oid, bytes], theirs: dict[Oid, bytes]) -> Oid:
    """Write *ours* to our notes and *theirs* to a copy that began at the same point; returns the copy's commit."""
    start = repo.refs.get(NOTES_REF)
    if start is not None:
        repo.git("update-ref", "refs/notes/theirs", start.hex())
    remote = Notes(repo.store, repo.refs, "refs/notes/theirs").write(theirs, who=WHO)
    repo.notes.write(ours, who=WHO)
    assert remote is not None
    return remote


@pytest.mark.parametrize("common", [False, True])
def test_merge_unites(repo, common):
    a, b, c, d, e = commits(repo, 5)
    if common:
        repo.notes.write({a: b"a\n", d: b"d\n", e: b"e\n"}, who=WHO)
    remote = diverged(repo, {b: b"ours\n", d: b""}, {c: b"theirs\n", e: b""})
    result = repo.notes.merge(remote, who=WHO)
    wanted = {b: b"ours\n", c: b"theirs\n"} | ({a: b"a\n"} if common else {})
    assert dict(repo.notes.items()) == wanted
    assert result.changed
    assert result.combined == ()
    assert set(repo.git("rev-list", "--parents", "-1", NOTES_REF).split()[1:]) == {result.before.hex(), remote.hex()}
    assert not repo.notes.merge(remote, who=WHO).changed
    repo.fsck()


def test_merge_forwards_where_it_can(repo):
    a, b = commits(repo, 2)
    first = repo.notes.write({a: b"a"}, who=WHO)
    second = repo.notes.write({b: b"b"}, who=WHO)
    repo.git("update-ref", NOTES_REF, first.hex())
    assert repo.notes.merge(second, who=WHO).after == second
    assert not repo.notes.merge(first, who=WHO).changed
    repo.git("update-ref", "-d", NOTES_REF)
    assert repo.notes.merge(second, who=WHO).before is None


def test_merge_of_both_sides_of_one_note(repo):
    (a,) = commits(repo, 1)
    repo.notes.write({a: b'{"id": "1", "coverage": null, "kept": 1, "tests_passed": true}'}, who=WHO)
    remote = diverged(
        repo,
        {a: b'{"id": "1", "coverage": 80, "kept": 1, "tests_passed": false, "contributors": ["x"]}'},
        {a: b'{"id": "1", "coverage": null, "kept": 1, "tests_passed": true, "contributors": ["y", "x"], "n": 2}'},
    )
    result = repo.notes.merge(remote, who=WHO)
    assert result.combined == (a,)
    note = json.loads(repo.notes.read(a))
    assert note["coverage"] == 80
    assert note["tests_passed"] is False  # only our side changed it
    assert sorted(note["contributors"]) == ["x", "y"]
    assert (note["kept"], note["n"]) == (1, 2)
    assert "alternatives" not in note


def test_a_note_removed_here_and_changed_there_is_kept(repo):
    (a,) = commits(repo, 1)
    repo.notes.write({a: b"old\n"}, who=WHO)
    remote = diverged(repo, {a: b""}, {a: b"new\n"})
    repo.notes.merge(remote, who=WHO)
    assert repo.notes.read(a) == b"new\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "x", "y"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
NOTES = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3).map(lambda value: json.dumps(value).encode()) | (
    st.sampled_from([b"", b"text\n", b"text\nmore\n", b"[1]", b"{broken"])
)


@given(NOTES, NOTES, NOTES)
def test_merging_texts_has_no_sides_and_settles(base, one, other):
    merged = merge_texts(base, one, other)
    if one not in {base, other} and other != base:
        assert merged == merge_texts(base, other, one)
    assert merge_texts(base, one, one) == one
    for text in (one, other):
        for line in text.splitlines() if not text.startswith(b"{") else ():
            if base not in {one, other}:
                assert line in merged.splitlines() or merged.startswith(b"{")


def test_lost_values_are_kept_beside():
    merged = json.loads(merge_texts(b"", b'{"model": "m1"}', b'{"model": "m2"}'))
    assert merged == {"model": "m2", "alternatives": {"model": ["m1"]}}


def test_hostile_json_is_kept_as_text():
    deep = b'{"a":' * 100_000
    assert merge_texts(b"", deep, b"x").splitlines() == sorted([deep, b"x"])
