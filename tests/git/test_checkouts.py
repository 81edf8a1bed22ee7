"""Ordinary checkouts that follow a branch we move, or stop us."""

from pathlib import Path

import pytest

from anvcs.git.checkouts import CheckoutInTheWay, advance, dirty_paths, find_checkouts, follow, require_clean
from anvcs.git.commits import create_commit
from anvcs.git.refs import RefMoved
from anvcs.git.trees import EMPTY_TREE
from anvcs.model.tree import EXECUTABLE, REGULAR, SYMLINK, Leaf
from support.plumbing import WHO, Repo

MAIN = "refs/heads/main"


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a": "a\n", "b": "b\n", "dir/c": "c\n", "gone": "x\n"})
    return repo


def moved(repo: Repo, changes, ref: str = MAIN):
    """A commit of ours on *ref*, with its checkouts taken along."""
    old = repo.refs.get(ref)
    new = repo.commit_tree(changes, *([old] if old else []))
    return advance(repo.store, repo.refs, ref, new, old, message="commit: ours", who=WHO)


def test_checkouts_of_every_kind_are_found(repo, tmp_path):
    repo.git("branch", "topic")
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"), "topic")
    repo.git("worktree", "add", "-q", "--detach", str(tmp_path / "detached"))
    repo.git("worktree", "add", "-q", "-b", "absent", str(tmp_path / "absent"))
    (tmp_path / "absent").rename(tmp_path / "moved away")
    assert [checkout.work_tree for checkout in find_checkouts(repo.git_dir, MAIN)] == [repo.path]
    assert [checkout.work_tree for checkout in find_checkouts(repo.git_dir, "refs/heads/topic")] == [
        tmp_path / "linked"
    ]
    assert find_checkouts(repo.git_dir, "refs/heads/absent") == []
    assert find_checkouts(Repo(tmp_path / "bare.git", "--bare").git_dir, MAIN) == []
    repo.git("config", "core.bare", "true")
    assert find_checkouts(repo.git_dir, MAIN) == []


def test_a_submodule_is_the_checkout_of_its_own_repository(repo, tmp_path):
    outer = Repo(tmp_path / "outer")
    outer.git("submodule", "--quiet", "add", str(repo.path), "deep/sub")
    git_dir = outer.git_dir / "modules/deep/sub"
    assert [checkout.work_tree for checkout in find_checkouts(git_dir, MAIN)] == [outer.path / "deep/sub"]


def test_files_and_index_follow(repo, tmp_path):
    (repo.path / "b").write_text("my own change\n")
    (repo.path / "untracked").write_text("mine\n")
    followed = moved(repo, {b"a": b"ours\n", b"new/file": b"new\n", b"gone": None})
    assert [(one.checkout.work_tree, one.problem) for one in followed] == [(repo.path, "")]
    assert (repo.path / "a").read_text() == "ours\n"
    assert (repo.path / "new/file").read_text() == "new\n"
    assert not (repo.path / "gone").exists()
    assert (repo.path / "b").read_text() == "my own change\n"
    assert repo.git("status", "--porcelain") == " M b\n?? untracked"
    assert repo.git("reflog", "-1", "--format=%gs") == "commit: ours"
    assert repo.git("rev-parse", "HEAD@{1}") == repo.git("rev-parse", f"{MAIN}@{{1}}")
    repo.fsck()


def test_linked_checkouts_follow_too(repo, tmp_path):
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    linked = Repo(tmp_path / "linked")
    moved(repo, {b"a": b"ours\n"}, "refs/heads/topic")
    assert (linked.path / "a").read_text() == "ours\n"
    assert linked.git("status", "--porcelain") == ""
    assert (repo.path / "a").read_text() == "a\n"
    assert repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("how", ["edited", "staged", "deleted", "untracked", "folder"])
def test_the_same_paths_dirty_refuse_the_commit(repo, how):
    file, path = (repo.path / "a", b"a") if how in {"edited", "staged", "deleted"} else (repo.path / "new", b"new")
    if how == "deleted":
        file.unlink()
        file.mkdir()
        (file / "inside").write_text("x")
    elif how == "folder":
        file.mkdir()
        (file / "inside").write_text("x")
    else:
        file.write_text("mine\n")
    if how == "staged":
        repo.git("add", "a")
    before = repo.oid(MAIN), repo.git("status", "--porcelain")
    with pytest.raises(CheckoutInTheWay) as caught:
        moved(repo, {path: b"ours\n", b"b": b"ours\n"})
    assert str(repo.path) in str(caught.value)
    assert "stash" in str(caught.value)
    if how != "folder":
        assert caught.value.paths == (path,)
    assert (repo.oid(MAIN), repo.git("status", "--porcelain")) == before
    assert (repo.path / "b").read_text() == "b\n"


def test_a_merge_in_progress_refuses_the_commit(repo):
    repo.git("checkout", "-q", "-b", "other")
    repo.commit({"a": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a": "ours\n"})
    repo.raw("merge", "other", check=False)
    with pytest.raises(CheckoutInTheWay):
        moved(repo, {b"b": b"new\n"})


def test_files_that_were_only_touched_are_not_dirty(repo):
    (repo.path / "a").write_text("x\n")
    (repo.path / "a").write_text("a\n")
    moved(repo, {b"a": b"ours\n"})
    assert (repo.path / "a").read_text() == "ours\n"


def test_what_is_there_already_is_no_conflict(repo):
    (repo.path / "a").write_text("ours\n")
    repo.git("add", "a")
    moved(repo, {b"a": b"ours\n"})
    assert repo.git("status", "--porcelain") == ""


def test_dirty_paths_names_only_those_asked_for(repo):
    (repo.path / "a").write_text("mine\n")
    (repo.path / "dir/c").unlink()
    (repo.path / "new").write_text("x")
    (repo.path / "*").write_text("a name, no pattern")
    (checkout,) = find_checkouts(repo.git_dir, MAIN)
    assert dirty_paths(checkout, [b"b", b"a", b"dir/c", b"new", b"none"]) == [b"a", b"dir/c", b"new"]
    assert dirty_paths(checkout, [b"b"]) == []
    assert dirty_paths(checkout, [b"*"]) == [b"*"]
    many = [b"n%d" % number for number in range(300)]
    assert dirty_paths(checkout, [*many, b"a"]) == [b"a"]


def test_an_unborn_branch_gets_its_first_commit(tmp_path):
    repo = Repo(tmp_path / "repo")
    moved(repo, {b"a": b"first\n", b"d/e": b"e\n"})
    assert (repo.path / "a").read_text() == "first\n"
    assert repo.git("status", "--porcelain") == ""
    repo.fsck()


def test_a_moved_ref_moves_no_files(repo):
    one = repo.oid(MAIN)
    new = repo.commit_tree({b"a": b"ours\n"}, one)
    with pytest.raises(RefMoved):
        advance(repo.store, repo.refs, MAIN, new, new, message="x", who=WHO)
    assert (repo.path / "a").read_text() == "a\n"


def test_a_problem_after_the_move_is_told(repo):
    one = repo.oid(MAIN)
    new = repo.commit_tree({b"a": b"ours\n"}, one)
    checkouts = find_checkouts(repo.git_dir, MAIN)
    prepared = require_clean(repo.store, checkouts, one, new)
    (repo.path / "a").write_text("too late\n")
    repo.refs.move(MAIN, new, one, "x")
    (followed,) = follow(repo.store, prepared, one, new, message="x", who=WHO)
    assert "a" in followed.problem
    assert (repo.path / "a").read_text() == "too late\n"


def test_everything_can_go(repo):
    moved(repo, {path: None for path, _, _ in repo.store.walk(repo.store.tree_of(repo.oid(MAIN)))})
    assert repo.store.tree_of(repo.oid(MAIN)) == EMPTY_TREE
    assert repo.git("status", "--porcelain") == ""
    assert not (repo.path / "dir").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_an_untracked_file_where_a_folder_must_be_is_kept(repo, kind):
    if kind == "file":
        (repo.path / "new").write_text("precious\n")
    else:
        (repo.path / "new").symlink_to("dir")
    with pytest.raises(CheckoutInTheWay):
        moved(repo, {b"new/file": b"ours\n"})
    assert (repo.path / "new").is_symlink() == (kind == "link")
    assert kind == "link" or (repo.path / "new").read_text() == "precious\n"


def test_a_file_becomes_a_folder_and_back(repo):
    moved(repo, {b"a": None, b"a/inner": b"i\n"})
    assert (repo.path / "a/inner").read_text() == "i\n"
    moved(repo, {b"a": b"file again\n", b"a/inner": None})
    assert (repo.path / "a").read_text() == "file again\n"
    assert repo.git("status", "--porcelain") == ""


def test_many_changes_at_once(repo):
    names = {b"many/%d" % number: b"%d\n" % number for number in range(300)}
    moved(repo, names)
    assert repo.git("status", "--porcelain") == ""
    moved(repo, dict.fromkeys(names))
    assert not (repo.path / "many").exists()
    assert repo.git("status", "--porcelain") == ""


def test_sparse_checkouts_stay_sparse(repo):
    repo.git("sparse-checkout", "set", "--no-cone", "/*", "!/dir/")
    assert not (repo.path / "dir").exists()
    moved(repo, {b"dir/c": b"newer\n", b"a": b"newer\n"})
    assert not (repo.path / "dir").exists()
    assert (repo.path / "a").read_text() == "newer\n"
    assert repo.git("status", "--porcelain") == ""


def test_modes_links_and_odd_names_follow(repo):
    old = repo.oid(MAIN)
    leaves = {
        b"a": Leaf(EXECUTABLE, repo.store.write_blob(b"#!\n")),
        b"link": Leaf(SYMLINK, repo.store.write_blob(b"a")),
        b"*": Leaf(REGULAR, repo.store.write_blob(b"a name, no pattern\n")),
        b"new\nline\xff": Leaf(REGULAR, repo.store.write_blob(b"odd\n")),
        b":(top)x": Leaf(REGULAR, repo.store.write_blob(b"magic\n")),
    }
    tree = repo.store.write_tree(repo.store.tree_of(old), leaves)
    new = create_commit(repo.store, tree=tree, parents=(old,), message=b"m\n", author=WHO, committer=WHO)
    advance(repo.store, repo.refs, MAIN, new, old, message="m", who=WHO)
    assert repo.git("status", "--porcelain") == ""
    assert (repo.path / "link").readlink() == Path("a")
    assert (repo.path / "a").stat().st_mode & 0o100


def test_what_is_checked_out_is_converted(repo):
    repo.commit({".gitattributes": "*.txt eol=crlf\n"})
    moved(repo, {b"dos.txt": b"one\ntwo\n"})
    assert (repo.path / "dos.txt").read_bytes() == b"one\r\ntwo\r\n"
    assert repo.git("status", "--porcelain") == ""
