"""Commits made by us against ``git commit`` and ``git fsck``."""

import os
import subprocess
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anvcs.git.commits import (
    EmptyMessage,
    NoIdentity,
    Signature,
    SigningFailed,
    UnusableMessage,
    add_trailers,
    agent_signature,
    clean_message,
    create_commit,
    identity,
    maintain,
    message_rules,
    signer_for,
)
from anvcs.git.history import parse_commit, parse_signature
from anvcs.git.objects import EMPTY_TREE, DamagedObject
from anvcs.model.ids import Oid
from support.plumbing import WHO, Repo


@pytest.fixture
def repo(tmp_path):
    return Repo(tmp_path / "repo")


def made(repo: Repo, **changes) -> Oid:
    values = {
        "tree": repo.store.write_tree(None, {}),
        "parents": (),
        "message": b"m\n",
        "author": WHO,
        "committer": WHO,
    }
    return create_commit(repo.store, **(values | changes))


def test_the_same_commit_as_git_makes(repo):
    parent = repo.commit({"a": "a"})
    tree = repo.store.tree_of(parent)
    committer = Signature(name="Com Mitter", email="c@example.com", time_s=1_600_000_000, offset_min=-330)
    ours = made(repo, tree=tree, parents=(parent,), committer=committer, message="gr\u00fc\u00dfe\n\nbody\n".encode())
    theirs = repo.git(
        "commit-tree", "-p", parent.hex(), tree.hex(), stdin="gr\u00fc\u00dfe\n\nbody\n".encode(),
        GIT_AUTHOR_NAME="Ada L", GIT_AUTHOR_EMAIL="ada@example.com", GIT_AUTHOR_DATE="1700000000 +0130",
        GIT_COMMITTER_NAME="Com Mitter", GIT_COMMITTER_EMAIL="c@example.com", GIT_COMMITTER_DATE="1600000000 -0530",
    )  # fmt: skip
    assert ours.hex() == theirs
    info = repo.store.commit_info(ours)
    assert (info.tree, info.parents, info.author, info.committer) == (tree, (parent,), WHO, committer)
    assert info.subject == "gr\u00fc\u00dfe"
    repo.fsck()


NAMES = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", " ", "<>", "a<b>c", ".dots.", "\n", "\udcff"]
)


@given(NAMES, NAMES, st.integers(-5, 2**40), st.integers(-1439, 1439))
@example("<>\n", "<\n>", -1, 0)
def test_odd_names_never_break_a_commit(name, email, when, offset):
    who = Signature(name=name, email=email, time_s=when, offset_min=offset)
    line = who.line()
    assert b"\n" not in line
    back = parse_signature(line)
    assert back.line() == line
    assert (back.time_s, back.offset_min) == (max(when, 0), offset)


def test_odd_names_pass_fsck(repo):
    for name in ("", "<>", "a<b>c", ".dots.", "\n", "\udcff", "x\0y", " , ", "\u200b", "'quoted'"):
        for email in (name, "plain@example.com"):
            who = Signature(name=name, email=email, time_s=1)
            commit = made(repo, author=who, committer=who)
            repo.raw("cat-file", "commit", commit.hex())
    repo.fsck()


@given(st.text(st.sampled_from("a #\n\t\r\x0b:>"), max_size=40))
def test_messages_are_cleaned_as_git_does(text):
    for mode, flags in (("default", []), ("strip", ["--strip-comments"])):
        wanted = subprocess.run(
            ["git", "stripspace", *flags], input=text.encode(), capture_output=True, check=True
        ).stdout
        if wanted.strip(b" \t\r\n"):
            assert clean_message(text.encode(), mode) == wanted
        else:
            with pytest.raises(EmptyMessage):
                clean_message(text.encode(), mode)


def test_scissors_verbatim_and_nul():
    text = b"subject\n\n# ------------------------ >8 ------------------------\ndiff"
    assert clean_message(text, "scissors") == b"subject\n"
    assert clean_message(b"  a \n\n\n b", "verbatim") == b"  a \n\n\n b"
    with pytest.raises(UnusableMessage):
        clean_message(b"a\0b")


@given(
    st.lists(st.sampled_from(["subject", "", "body text", "Signed-off-by: x", " continued", "key: value"]), max_size=6)
)
def test_trailers_are_found_by_git(lines):
    try:
        message = clean_message("\n".join(["first line", *lines]).encode())
    except EmptyMessage:
        return
    result = add_trailers(message, [("Co-authored-by", "Bob <bob@example.com>"), ("Agent", "a\nb")])
    told = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=result, capture_output=True, check=True
    ).stdout.decode()
    assert "Co-authored-by: Bob <bob@example.com>" in told.splitlines()
    assert "Agent: a b" in told.splitlines()
    assert add_trailers(result, [("Co-authored-by", "Bob <bob@example.com>")]) == result
    assert result == clean_message(result)


def test_a_message_in_another_encoding_keeps_its_bytes(repo):
    commit = made(repo, message="gr\u00fc\u00dfe\n".encode("latin-1"), encoding="ISO-8859-1")
    assert repo.git("log", "-1", "--format=%s", commit.hex()) == "gr\u00fc\u00dfe"
    assert repo.store.commit_info(commit).subject == "gr\u00fc\u00dfe"
    assert repo.store.commit_info(commit).encoding == "ISO-8859-1"
    text = "gr\u00fc\u00dfe \u4e2d\n".encode()
    assert repo.store.commit_info(made(repo, message=text[:-5] + b"\n", encoding="latin1")).message == b"gr\xfc\xdfe\n"
    for name in ("latin1", "UTF-8", "utf8", "no-such"):  # the first cannot hold it
        kept = repo.store.commit_info(made(repo, message=text, encoding=name))
        assert (kept.message, kept.encoding) == (text, "utf-8")
    raw = made(repo, message=b"bytes \xff\xfe\n")
    assert repo.store.commit_info(raw).message == b"bytes \xff\xfe\n"
    with pytest.raises(UnusableMessage):
        made(repo, message=b"a\0b")
    repo.fsck()


def test_damaged_and_ancient_commits_can_be_read(repo):
    raw = (
        b"tree %s\nauthor nobody\ncommitter A <a@b> 12\ngpgsig line\n parent 00\n more\n\nmessage"
        % EMPTY_TREE.hex().encode()
    )
    info = parse_commit(Oid(bytes(20)), raw)
    assert (info.author.name, info.committer.time_s, info.parents) == ("nobody", 12, ())
    with pytest.raises(DamagedObject):
        parse_commit(Oid(bytes(20)), b"no tree\n\nx")


def test_identity_from_agent_configuration_and_environment(repo):
    config = repo.config
    author, committer = identity(config, "helper", env={}, now=5)
    assert (author.name, author.email, author.time_s) == ("helper", "helper@agents.invalid", 5)
    assert (committer.name, committer.email) == ("Tess Ter", "tess@example.com")
    author, _ = identity(config, "Helper B <b@example.com>", env={})
    assert (author.name, author.email) == ("Helper B", "b@example.com")
    author, committer = identity(config, None, env={"GIT_AUTHOR_NAME": "Env", "GIT_COMMITTER_EMAIL": "e@example.com"})
    assert (author.name, author.email) == ("Env", "tess@example.com")
    assert (committer.name, committer.email) == ("Tess Ter", "e@example.com")
    repo.git("config", "author.name", "Configured")
    assert identity(config, None, env={})[0].name == "Configured"
    dated, _ = identity(config, None, env={"GIT_AUTHOR_DATE": "2020-01-02T03:04:05+0200"})
    assert (dated.time_s, dated.offset_min) == (1_577_927_045, 120)


def test_nobody_known_is_one_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    repo = Repo(tmp_path / "repo")
    with pytest.raises(NoIdentity, match=r"user\.name"):
        identity(repo.config, None, env={})
    author, committer = identity(repo.config, "helper", env={})
    assert author == committer
    repo.git("config", "user.name", "Later")
    repo.git("config", "user.email", "later@example.com")
    assert identity(repo.config, None, env={})[0].name == "Later"  # the change is seen


@pytest.mark.parametrize("agent", ["Review <bot", "a b", "\u4e2d\u6587", "<<>>", "x" * 300, "-"])
def test_any_agent_name_makes_a_signature(repo, agent):
    who = agent_signature(agent)
    made(repo, author=who, committer=who)
    repo.fsck()


def test_the_clock_has_a_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert agent_signature("a", now=0).offset_min == 330
    finally:
        monkeypatch.undo()
        time.tzset()


def test_message_rules_follow_the_configuration(repo):
    assert message_rules(repo.config) == ("default", b"#")
    repo.git("config", "commit.cleanup", "strip")
    repo.git("config", "core.commentChar", ";")
    assert message_rules(repo.config) == ("strip", b";")


def test_includes_and_conditions_decide_about_signing(repo, tmp_path):
    assert signer_for(repo.config, repo.git_dir) is None
    extra = tmp_path / "extra"
    extra.write_text("[commit]\n\tgpgsign\n")
    repo.git("config", f"includeIf.gitdir:{repo.path}/.path", str(extra))
    assert signer_for(repo.config, repo.git_dir) is not None
    extra.write_text("[commit]\n\tgpgsign = false # really\n")
    assert signer_for(repo.config, repo.git_dir) is None


@pytest.fixture
def ssh_key(tmp_path, repo):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed = tmp_path / "allowed"
    allowed.write_text("ada@example.com " + key.with_suffix(".pub").read_text())
    for name, value in {
        "commit.gpgsign": "true", "gpg.format": "ssh", "user.signingKey": str(key), "gpg.ssh.allowedSignersFile": str(allowed),
    }.items():  # fmt: skip
        repo.git("config", name, value)
    return key


@pytest.mark.skipif(not os.access("/usr/bin/ssh-keygen", os.X_OK), reason="ssh-keygen is not installed")
def test_ssh_signatures_verify(repo, ssh_key):
    parent = made(repo)
    sign = signer_for(repo.config, repo.git_dir)
    commit = made(repo, parents=(parent,), message=b"signed\n\nbody\n", sign=sign)
    assert repo.git("log", "-1", "--format=%G? %s", commit.hex()) == "G signed"
    info = repo.store.commit_info(commit)
    assert (info.author, info.committer, info.message, info.parents) == (WHO, WHO, b"signed\n\nbody\n", (parent,))
    repo.fsck()
    ssh_key.unlink()
    with pytest.raises(SigningFailed):
        made(repo, sign=sign)


def test_gpg_program_is_honoured(repo, tmp_path):
    program = tmp_path / "sign"
    program.write_text(
        '#!/bin/sh\ncat > "$0.payload"\necho "$@" > "$0.args"\n'
        'printf "\\n[GNUPG:] SIG_CREATED \\n" >&2\n'
        'printf -- "-----BEGIN PGP SIGNATURE-----\\n\\nfake\\n-----END PGP SIGNATURE-----\\n"\n'
    )
    program.chmod(0o755)
    repo.git("config", "commit.gpgsign", "yes")
    repo.git("config", "gpg.program", str(program))
    repo.git("config", "user.signingKey", "KEY1")
    commit = made(repo, sign=signer_for(repo.config, repo.git_dir))
    assert b"gpgsig -----BEGIN PGP SIGNATURE-----" in repo.raw("cat-file", "commit", commit.hex())
    assert "KEY1" in (tmp_path / "sign.args").read_text()
    assert (tmp_path / "sign.payload").read_bytes().startswith(b"tree ")
    program.write_text("#!/bin/sh\necho locked >&2\nexit 1\n")
    with pytest.raises(SigningFailed, match="sign"):
        made(repo, sign=signer_for(repo.config, repo.git_dir))


def test_git_tidies_up_when_it_is_due(repo, monkeypatch):
    assert not maintain(repo.store)
    folder = repo.git_dir / "objects/17"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:038x}").touch()
    assert maintain(repo.store)
