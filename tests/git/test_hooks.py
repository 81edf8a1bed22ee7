"""Git's commit hooks around our commits, compared with what ``git commit`` gives them."""

import subprocess

import pytest

from anvcs.git.hooks import HookFailed, Hooks
from anvcs.model.tree import REGULAR, Leaf
from support.plumbing import WHO, Repo


@pytest.fixture
def repo(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.commit({"a": "a\n", "dir/b": "b\n"})
    return repo


@pytest.fixture
def tree(repo):
    """What a commit would take: a changed, c new."""
    changes = {b"a": b"changed\n", b"c": b"new\n"}
    leaves = {path: Leaf(REGULAR, repo.store.write_blob(data)) for path, data in changes.items()}
    return repo.store.write_tree(repo.store.tree_of(repo.oid("HEAD")), leaves)


def install(repo: Repo, name: str, script: str, folder: str = "") -> None:
    hook = (repo.path / folder if folder else repo.git_dir / "hooks") / name
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text("#!/bin/sh\n" + script)
    hook.chmod(0o755)


def hooks(repo: Repo) -> Hooks:
    return Hooks(repo.git_dir, repo.path)


def test_without_hooks_nothing_runs(repo, tree, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_more: pytest.fail("a process was started"))
    ours = Hooks(repo.git_dir, repo.path, repo.config)
    repo.config.get("core.hookspath")
    assert ours.run_pre_commit(tree, author=WHO) == tree
    assert ours.run_commit_msg(b"m\n", author=WHO) == b"m\n"


@pytest.mark.parametrize("seeded", [False, True])
def test_pre_commit_sees_what_the_commit_takes(repo, tree, seeded):
    install(repo, "pre-commit", 'git diff --cached --name-status > seen; pwd >> seen; echo "$GIT_EDITOR" >> seen\n'
            'echo "$GIT_AUTHOR_NAME <$GIT_AUTHOR_EMAIL>" >> seen; echo said\n')  # fmt: skip
    index = repo.git_dir / "index" if seeded else None
    before = (repo.git_dir / "index").read_bytes()
    ours = hooks(repo)
    assert ours.run_pre_commit(tree, author=WHO, index=index) == tree
    assert (repo.path / "seen").read_text() == f"M\ta\nA\tc\n{repo.path}\n:\nAda L <ada@example.com>\n"
    assert ours.output == "said\n"
    assert (repo.git_dir / "index").read_bytes() == before
    assert not list(repo.git_dir.glob("next-index*"))


def test_what_pre_commit_adds_is_taken(repo, tree):
    install(repo, "pre-commit", "echo formatted > a; git add a; git rm -q --cached dir/b\n")
    result = hooks(repo).run_pre_commit(tree, author=WHO, index=repo.git_dir / "index")
    assert {path for path, _, _ in repo.store.walk(result)} == {b"a", b"c"}
    assert repo.store.blob(repo.store.find(result, b"a").oid) == b"formatted\n"


def test_a_refusal_carries_the_words_of_the_hook(repo, tree):
    install(repo, "pre-commit", "echo no good >&2; exit 3\n")
    with pytest.raises(HookFailed, match="no good") as failed:
        hooks(repo).run_pre_commit(tree, author=WHO)
    assert (failed.value.hook, failed.value.code) == ("pre-commit", 3)
    assert not list(repo.git_dir.glob("next-index*"))


def test_an_index_with_conflicts_is_no_hindrance(repo, tree):
    repo.git("checkout", "-q", "-b", "other")
    repo.commit({"a": "theirs\n"})
    repo.git("checkout", "-q", "main")
    repo.commit({"a": "ours\n"})
    repo.raw("merge", "other", check=False)
    install(repo, "pre-commit", "git ls-files -u > seen; git diff --cached --name-only HEAD > staged\n")
    assert hooks(repo).run_pre_commit(tree, author=WHO, index=repo.git_dir / "index") == tree
    assert (repo.path / "seen").read_text() == ""
    assert (repo.path / "staged").read_text() == "a\nc\n"


def test_messages_go_through_both_hooks(repo):
    install(repo, "prepare-commit-msg", 'echo "$2" > args; sed -i "1s/^/[X-1] /" "$1"\n')
    install(repo, "commit-msg", 'grep -q forbidden "$1" && echo "bad word" && exit 1; echo "Change-Id: 1" >> "$1"\n')
    ours = hooks(repo)
    message = ours.run_prepare_commit_msg(b"subject\n", author=WHO)
    assert message == b"[X-1] subject\n"
    assert (repo.path / "args").read_text() == "message\n"
    assert ours.run_commit_msg(message, author=WHO) == b"[X-1] subject\nChange-Id: 1\n"
    with pytest.raises(HookFailed, match="bad word"):
        ours.run_commit_msg(b"forbidden\n", author=WHO)


def test_post_commit_cannot_fail_the_commit(repo):
    install(repo, "post-commit", "echo ran > ran; exit 1\n")
    ours = hooks(repo)
    ours.run_post_commit(author=WHO)
    assert (repo.path / "ran").exists()
    assert "post-commit" in ours.output


@pytest.mark.parametrize("kind", ["relative", "absolute", "home"])
def test_hooks_path(repo, tree, kind, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folders = {"relative": ".husky/_", "absolute": str(tmp_path / "hooks"), "home": "~/hooks"}
    repo.git("config", "core.hooksPath", folders[kind])
    install(repo, "pre-commit", "exit 7\n", ".husky/_" if kind == "relative" else str(tmp_path / "hooks"))
    install(repo, "commit-msg", "echo the default folder does not count; exit 1\n")
    with pytest.raises(HookFailed) as failed:
        hooks(repo).run_pre_commit(tree, author=WHO)
    assert failed.value.code == 7
    assert hooks(repo).run_commit_msg(b"m\n", author=WHO) == b"m\n"


def test_a_hook_that_cannot_be_executed_is_skipped(repo, tree):
    install(repo, "pre-commit", "exit 1\n")
    (repo.git_dir / "hooks/pre-commit").chmod(0o644)
    assert hooks(repo).run_pre_commit(tree, author=WHO) == tree


def test_hooks_of_a_bare_repository_run_in_it(tmp_path):
    repo = Repo(tmp_path / "bare.git", "--bare")
    install(repo, "commit-msg", "pwd > where; git rev-parse --git-dir > dir\n")
    Hooks(repo.git_dir).run_commit_msg(b"m\n", author=WHO)
    assert (repo.git_dir / "where").read_text() == f"{repo.git_dir}\n"


def test_no_process_starts_in_the_work_tree(repo, tree, monkeypatch):
    """It may be a mount that waits for this process."""
    started = []
    popen = subprocess.Popen.__init__

    def spy(self, command, **more):
        started.append((command[0], more.get("cwd")))
        popen(self, command, **more)

    repo.git("config", "core.hooksPath", ".husky")
    install(repo, "pre-commit", "git add -A\n", ".husky")
    install(repo, "commit-msg", "true\n", ".husky")
    ours = hooks(repo)
    monkeypatch.setattr(subprocess.Popen, "__init__", spy)
    ours.run_pre_commit(tree, author=WHO)
    ours.run_commit_msg(b"m\n", author=WHO)
    assert started
    assert {cwd for _, cwd in started} == {"/"}
    assert all(program.startswith("/") for program, _ in started)


def test_variables_of_another_repository_do_not_reach_hooks(repo, tree, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    install(repo, "pre-commit", 'echo "$GIT_DIR$GIT_WORK_TREE" > seen\n')
    hooks(repo).run_pre_commit(tree, author=WHO)
    assert (repo.path / "seen").read_text() == "\n"
