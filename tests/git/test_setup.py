"""Repositories of every kind as somebody might point us to them."""

import subprocess

import pytest

from anvcs.git.setup import NotARepository, UnsupportedRepository, configure, inspect, unconfigure
from support.plumbing import Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a": "a", "dir/b": "b"})
    return repo


def test_normal_from_anywhere_inside(repo):
    for place in (repo.path, repo.path / "dir", repo.path / "dir/b", repo.path / ".git"):
        info = inspect(place)
        assert (info.common_dir, info.git_dir, info.work_tree) == (repo.git_dir, repo.git_dir, repo.path)
        assert (info.bare, info.object_format, info.ref_format) == (False, "sha1", "files")
        assert (info.head_branch, info.unborn, info.submodules) == ("main", False, ())
        assert (info.shallow, info.partial) == (False, False)


def test_bare_empty_detached(repo, tmp_path):
    bare = inspect(Repo(tmp_path / "bare.git", "--bare", "-b", "trunk").path)
    assert (bare.bare, bare.work_tree, bare.head_branch, bare.unborn) == (True, None, "trunk", True)
    repo.git("checkout", "-q", "--detach")
    detached = inspect(repo.path)
    assert (detached.head_branch, detached.unborn) == (None, False)
    assert inspect(Repo(tmp_path / "empty").path).unborn


def test_a_linked_worktree(repo, tmp_path):
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "linked"))
    info = inspect(tmp_path / "linked")
    assert (info.common_dir, info.git_dir) == (repo.git_dir, repo.git_dir / "worktrees/linked")
    assert (info.work_tree, info.head_branch) == (tmp_path / "linked", "topic")
    assert inspect(info.git_dir).work_tree == tmp_path / "linked"


def test_submodules_and_their_own_repositories(repo, tmp_path):
    outer = Repo(tmp_path / "outer")
    outer.git("submodule", "--quiet", "add", str(repo.path), "libs/one")
    outer.git("submodule", "--quiet", "add", str(repo.path), "two")
    outer.commit({}, "with submodules")
    assert inspect(outer.path).submodules == ("libs/one", "two")
    inner = inspect(outer.path / "libs/one")
    assert inner.common_dir == outer.git_dir / "modules/libs/one"
    assert inner.work_tree == outer.path / "libs/one"


def test_shallow_and_partial_clones(repo, tmp_path):
    repo.commit({"a": "b"})
    repo.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{repo.path}"
    subprocess.run(["git", "clone", "-q", "--depth=1", "--filter=blob:none", url, tmp_path / "part"], check=True)
    info = inspect(tmp_path / "part")
    assert (info.shallow, info.partial) == (True, True)


def test_what_is_no_repository(tmp_path):
    for place in (tmp_path, tmp_path / "absent/deep"):
        with pytest.raises(NotARepository):
            inspect(place)


def test_sha256_and_reftable_are_refused_in_one_sentence(repo, tmp_path):
    sha256 = Repo(tmp_path / "sha256", "--object-format=sha256")
    with pytest.raises(UnsupportedRepository, match="SHA-256") as caught:
        inspect(sha256.path)
    assert "\n" not in str(caught.value)
    repo.git("config", "core.repositoryformatversion", "1")
    subprocess.run(["git", "config", "-f", repo.git_dir / "config", "extensions.refStorage", "reftable"], check=True)
    with pytest.raises(UnsupportedRepository, match="refs migrate") as caught:
        inspect(repo.path)
    assert "\n" not in str(caught.value)


def test_extensions_that_git_does_not_know(repo):
    repo.git("config", "core.repositoryformatversion", "1")
    repo.git("config", "extensions.fromTheFuture", "true")
    with pytest.raises(UnsupportedRepository, match=r"(?i)fromthefuture"):
        inspect(repo.path)


CONFIGS = ["", "[notes]\n\tdisplayRef = refs/notes/other\n", '[remote "x"]\n\turl = /x\n\tpush = refs/heads/only\n']
EXCLUDES = [None, b"", b"*.o\n", b"*.o\n# no newline"]


@pytest.mark.parametrize("extra", CONFIGS)
@pytest.mark.parametrize("exclude", EXCLUDES)
def test_configure_twice_and_undo_exactly(repo, extra, exclude):
    config, excluded = repo.git_dir / "config", repo.git_dir / "info/exclude"
    repo.git("remote", "add", "origin", "/nowhere")
    config.write_text(config.read_text() + extra)
    if exclude is None:
        excluded.unlink(missing_ok=True)
    else:
        excluded.parent.mkdir(exist_ok=True)
        excluded.write_bytes(exclude)
    before = config.read_bytes(), excluded.read_bytes() if excluded.exists() else None
    info = inspect(repo.path)
    added = configure(info)
    assert added
    after = config.read_bytes(), excluded.read_bytes()
    assert configure(info) == ()
    assert (config.read_bytes(), excluded.read_bytes()) == after
    repo.write({".ai/meta/1.json": "{}", ".anvcs/x": "x", ".ai/mine": "kept visible", "d/.anvcs/y": "y"})
    assert repo.git("status", "--porcelain", "-uall") == "?? .ai/mine\n?? d/.anvcs/y"
    assert len(unconfigure(info)) == len(added)
    assert (config.read_bytes(), excluded.read_bytes() if excluded.exists() else None) == before
    assert unconfigure(info) == ()


def test_a_remote_added_later_is_configured_by_the_next_run(repo):
    info = inspect(repo.path)
    configure(info)
    repo.git("remote", "add", "late", "/nowhere")
    assert any("remote.late.fetch" in line for line in configure(info))
    assert "refs/notes/anvcs*" in repo.git("config", "--get-all", "remote.late.fetch")


@pytest.mark.parametrize(
    ("key", "value"),
    [("push.default", "upstream"), ("push.default", "matching"), ("branch.main.merge", "refs/heads/trunk")],
)
def test_a_plain_push_goes_where_it_went_before(repo, key, value):
    repo.git("remote", "add", "origin", "/nowhere")
    repo.git("config", key, value)
    configure(inspect(repo.path))
    assert "push" not in repo.git("config", "--get-regexp", r"^remote\.")


def test_what_the_user_changed_since_is_left_alone(repo):
    info = inspect(repo.path)
    configure(info)
    repo.git("config", "--unset-all", "notes.displayRef")
    repo.git("config", "--add", "notes.displayRef", "refs/notes/mine")
    unconfigure(info)
    assert repo.git("config", "--get-all", "notes.displayRef") == "refs/notes/mine"
    assert "anvcs" not in (repo.git_dir / "config").read_text()


def test_from_a_linked_worktree_the_repository_is_configured(repo, tmp_path):
    repo.git("worktree", "add", "-q", str(tmp_path / "linked"))
    configure(inspect(tmp_path / "linked"))
    assert repo.git("config", "notes.displayRef") == "refs/notes/anvc[s]"
    assert (repo.git_dir / "info/exclude").exists()


def test_git_log_does_not_warn_while_there_are_no_notes(repo):
    configure(inspect(repo.path))
    done = subprocess.run(["git", "-C", str(repo.path), "log", "-1"], capture_output=True, check=True)
    assert done.stderr == b""
