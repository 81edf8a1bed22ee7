"""Settings as git reads them."""

import pytest

from anvcs.git.config import Configuration
from anvcs.git.program import Git
from support.plumbing import Repo


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def test_keys_values_and_cases(repo):
    (repo.git_dir / "config").write_text(
        '[User]\n\tName = one\n\tname = two\n[remote "Up Stream.x"]\n\tURL = /x\n\tfetch = a\n\tfetch = b\n'
        '[core]\n\tbare\n\thooksPath = ~/h\n[i18n]\n\tcommitEncoding = latin1\n[odd]\n\tvalue = "two\\nlines"\n'
    )
    config = repo.config
    assert config.get("user.name") == config.get("User.NAME") == "two"
    assert config.get("remote.Up Stream.x.url") == "/x"
    assert config.get("remote.up stream.x.url") is None
    assert config.get_all("remote.Up Stream.x.fetch") == ["a", "b"]
    assert config.sections("remote") == ["Up Stream.x"]
    assert config.get("i18n.commitEncoding") == "latin1"
    assert config.get("odd.value") == "two\nlines"
    assert config.get("none.such") is None
    assert config.get_path("core.hooksPath").name == "h"
    assert "~" not in str(config.get_path("core.hooksPath"))


@pytest.mark.parametrize(
    ("text", "value"),
    [("x", True), ("x = yes", True), ("x = ON", True), ("x = 1", True), ("x = -2", True), ("x =", False),
     ("x = 0", False), ("x = off", False), ("x = false", False), ("y", None), ("x = maybe", None)],
)  # fmt: skip
def test_booleans(repo, text, value):
    (repo.git_dir / "config").write_text(f"[s]\n\t{text}\n")
    for default in (True, False):
        assert repo.config.get_bool("s.x", default=default) is (default if value is None else value)


def test_changes_are_seen_and_nothing_is_asked_twice(repo, monkeypatch, tmp_path):
    started = []
    run = Git.run
    monkeypatch.setattr(Git, "run", lambda self, *args, **more: (started.append(args), run(self, *args, **more))[1])
    for _ in range(3):
        assert Configuration(repo.git_dir, repo.git_dir).get("a.b") is None
    assert len(started) == 1
    extra = tmp_path / "extra"
    extra.write_text("[a]\n\tb = 1\n")
    repo.git("config", "include.path", str(extra))
    assert repo.config.get("a.b") == "1"
    extra.write_text("[a]\n\tb = 22\n")
    assert repo.config.get("a.b") == "22"
    (repo.git_dir / "config.worktree").write_text("[a]\n\tb = 333\n")
    repo.git("config", "extensions.worktreeConfig", "true")
    assert repo.config.get("a.b") == "333"


def test_settings_may_depend_on_the_branch(repo, tmp_path):
    extra = tmp_path / "extra"
    extra.write_text("[a]\n\tb = topic\n")
    repo.git("config", "includeIf.onbranch:topic.path", str(extra))
    assert repo.config.get("a.b") is None
    repo.git("symbolic-ref", "HEAD", "refs/heads/topic")
    assert repo.config.get("a.b") == "topic"


def test_settings_that_stand_still(repo, monkeypatch):
    repo.git("config", "a.b", "1")
    moment = repo.config.still()
    repo.git("config", "a.b", "22")
    assert (moment.get("a.b"), repo.config.get("a.b")) == ("1", "22")
    assert repo.config.still().get("a.b") == "22"
    monkeypatch.setattr("os.stat", None)
    assert moment.get_bool("a.b", default=False) is True
