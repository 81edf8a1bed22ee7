"""Control files from every kind of writer: one request is one request, and errors are reported."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs, commit, run_command
from support.kernel import fails
from support.programs import git, needs, run, shell

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def view(repository: Path, tmp_path: Path, mounted) -> MountedView:
    return mounted(repository, tmp_path / "view", "--agent", "ann", "--model", "m-1")


def change(view: MountedView, text: str = "changed\n") -> None:
    with open(view.path / "project" / "notes.txt", "a") as file:
        file.write(text)


def answer(view: MountedView) -> dict:
    return json.loads((view.control / "commit").read_text())


def count(view: MountedView) -> int:
    return int(git("rev-list", "--count", "main", cwd=view.repository))


def subject(view: MountedView) -> str:
    return git("log", "-1", "--format=%s", "main", cwd=view.repository)


def test_a_commit_and_its_answer(view):
    change(view)
    before = count(view)
    told = commit(view.path, "feat: add to the notes\n\nA body.\n")
    assert told["commit"] == git("rev-parse", "main", cwd=view.repository)
    assert told["stream"] == "main"
    assert told["paths"] == ["project/notes.txt"]
    assert told["duration_ms"] >= 0
    assert count(view) == before + 1
    assert git("log", "-1", "--format=%B", "main", cwd=view.repository).startswith("feat: add to the notes\n\nA body.")
    assert answer(view)["commit"] == told["commit"]
    assert git("status", "--porcelain", cwd=view.path) == ""
    assert json.loads((view.control / "status").read_text())["changed"] == []
    git("fsck", "--strict", cwd=view.repository)


def test_a_request_as_a_mapping(view):
    change(view)
    (view.path / "project" / "left.txt").write_text("stays uncommitted\n")
    told = commit(
        view.path,
        {
            "message": "fix: everything",
            "prompt": "fix it",
            "model": "m-2",
            "tests_passed": True,
            "coverage": 87.5,
            "env": {"os": "linux"},
            "paths": ["project/notes.txt"],
            "trailers": {"Reviewed-by": "Rita <rita@example.com>"},
        },
    )
    assert told["paths"] == ["project/notes.txt"]
    assert git("status", "--porcelain", cwd=view.path) == "?? project/left.txt"
    assert "Reviewed-by: Rita <rita@example.com>" in git("log", "-1", "--format=%B", "main", cwd=view.repository)
    note = json.loads(git("notes", "--ref=anvcs", "show", "main", cwd=view.repository))
    assert (note["prompt"], note["model"], note["tests_passed"], note["coverage"]) == ("fix it", "m-2", True, 87.5)
    assert note["env"] == {"os": "linux"}


def test_yaml_and_plain_lines(view):
    change(view)
    commit(view.path, "message: |-\n  docs: from yaml\n\n  with a body\nprompt: write yaml\n")
    assert subject(view) == "docs: from yaml"
    change(view)
    # A subject with a colon and a space looks like YAML and is still a subject.
    commit(view.path, "fix: not a mapping")
    assert subject(view) == "fix: not a mapping"


WRITERS = {
    "bash": ("bash", ["bash", "-c", 'echo "by bash" > .anvcs/commit']),
    "bash printf": ("bash", ["bash", "-c", 'printf %s "by bash printf" > .anvcs/commit']),
    "bash heredoc": ("bash", ["bash", "-c", "cat > .anvcs/commit <<END\nby bash heredoc\n\nbody\nEND"]),
    "bash group": ("bash", ["bash", "-c", '{ echo "by bash group"; /bin/echo; /bin/echo body; } > .anvcs/commit']),
    "bash children": (
        "bash",
        ["bash", "-c", '(echo "by bash children"; true; (echo; sh -c "echo body")) > .anvcs/commit'],
    ),
    "bash exec": (
        "bash",
        ["bash", "-c", 'exec 5> .anvcs/commit; echo "by bash exec" >&5; true; ls > /dev/null; echo >&5; exec 5>&-'],
    ),
    "bash append": ("bash", ["bash", "-c", 'echo "by bash append" >> .anvcs/commit']),
    "dash": ("dash", ["dash", "-c", 'echo "by dash" > .anvcs/commit']),
    "zsh": ("zsh", ["zsh", "-f", "-c", 'echo "by zsh" > .anvcs/commit']),
    "zsh multios": ("zsh", ["zsh", "-f", "-c", 'echo "by zsh multios" >| .anvcs/commit']),
    "python": ("python3", ["python3", "-c", "open('.anvcs/commit', 'w').write('by python')"]),
    "python pieces": (
        "python3",
        [
            "python3",
            "-c",
            "f = open('.anvcs/commit', 'wb', 0); [f.write(bytes([c])) for c in b'by python pieces']; f.close()",
        ],
    ),
    "pathlib": ("python3", ["python3", "-c", "import pathlib; pathlib.Path('.anvcs/commit').write_text('by pathlib')"]),
    "node": ("node", ["node", "-e", "require('fs').writeFileSync('.anvcs/commit', 'by node')"]),
    "node stream": (
        "node",
        [
            "node",
            "-e",
            "const s = require('fs').createWriteStream('.anvcs/commit'); s.write('by node '); s.end('stream')",
        ],
    ),
    "tee": ("tee", ["sh", "-c", "echo by tee | tee .anvcs/commit > /dev/null"]),
    "tee -a": ("tee", ["sh", "-c", "echo by tee -a | tee -a .anvcs/commit > /dev/null"]),
    "cp": ("cp", ["sh", "-c", "echo by cp > ../message; cp ../message .anvcs/commit"]),
    "dd": ("dd", ["sh", "-c", "echo by dd | dd of=.anvcs/commit bs=3 2> /dev/null"]),
    "sed": ("sed", ["sh", "-c", "echo x | sed 's/x/by sed/w .anvcs/commit' > /dev/null"]),
    "perl": ("perl", ["perl", "-e", "open(F, '>', '.anvcs/commit'); print F 'by perl'; close(F) or die"]),
    "vim": (
        "vim",
        [
            "vim",
            "-es",
            "-u",
            "NONE",
            "-i",
            "NONE",
            "-n",
            "-c",
            "%d",
            "-c",
            "0put ='by vim'",
            "-c",
            "w!",
            "-c",
            "q!",
            ".anvcs/commit",
        ],
    ),
}


@pytest.fixture(scope="module")
def busy_view(sample, tmp_path_factory, module_mounted) -> MountedView:
    """One view for all writers: each must leave it ready for the next."""
    from support.repositories import copy_repository

    top = tmp_path_factory.mktemp("writers")
    return module_mounted(copy_repository(sample, top / "repository.git"), top / "view")


def settle(view: MountedView) -> None:
    """Commit what an earlier test may have left."""
    if git("status", "--porcelain", cwd=view.path):
        commit(view.path, "settled")


@pytest.mark.parametrize("writer", WRITERS)
def test_one_request_is_one_commit(busy_view, writer):
    program, command = WRITERS[writer]
    needs(program)
    change(busy_view, f"for {writer}\n")
    before = count(busy_view)
    run(*command, cwd=busy_view.path).must()
    # The next command sees the effect: nothing to wait for.
    assert count(busy_view) == before + 1
    assert subject(busy_view) == f"by {writer}"
    assert answer(busy_view)["commit"] == git("rev-parse", "main", cwd=busy_view.repository)


REPORTING = {
    "tee": ("tee", ["sh", "-c", "echo x | tee .anvcs/commit > /dev/null"]),
    "cp": ("cp", ["sh", "-c", "echo x > ../message; cp ../message .anvcs/commit"]),
    "cat": ("cat", ["sh", "-c", "echo x | cat > .anvcs/commit"]),
    "python": ("python3", ["python3", "-c", "with open('.anvcs/commit', 'w') as file: file.write('x')"]),
    "node": ("node", ["node", "-e", "require('fs').writeFileSync('.anvcs/commit', 'x')"]),
    "dd": ("dd", ["sh", "-c", "echo x | dd of=.anvcs/commit 2> /dev/null"]),
}


@pytest.mark.parametrize("writer", REPORTING)
def test_errors_reach_the_writer(busy_view, writer):
    """Nothing has changed, so there is nothing to commit."""
    program, command = REPORTING[writer]
    needs(program)
    settle(busy_view)
    before = count(busy_view)
    done = run(*command, cwd=busy_view.path)
    assert done.code != 0
    assert count(busy_view) == before
    status = json.loads((busy_view.control / "status").read_text())
    assert status["last_error"]["errno"] == "ENODATA"
    assert answer(busy_view)["ok"] is False


def test_a_shell_hides_the_error_but_the_status_has_it(busy_view):
    settle(busy_view)
    shell("echo nothing to commit > .anvcs/commit", busy_view.path)
    status = json.loads((busy_view.control / "status").read_text())
    assert status["last_error"]["message"]
    change(busy_view)
    commit(busy_view.path, "now there is something")
    assert json.loads((busy_view.control / "status").read_text())["last_error"] is None


@pytest.mark.parametrize(
    ("request_text", "number"),
    [
        ("nothing changed", errno.ENODATA),
        ('{"message": 5}', errno.EINVAL),
        ('{"message": "x", "paths": "not-a-list-of-paths", "nonsense": 1}', errno.EINVAL),
        ('{"message": ""}', errno.EINVAL),
        ("   \n", errno.EINVAL),
        ('{"message": "cut off', errno.EINVAL),
        ('{"message": "x", "paths": ["../outside"]}', errno.EINVAL),
    ],
)
def test_bad_requests(busy_view, request_text, number):
    settle(busy_view)
    before = count(busy_view)
    fd = os.open(busy_view.control / "commit", os.O_WRONLY)
    os.write(fd, request_text.encode())
    with fails(number):
        os.close(fd)
    assert count(busy_view) == before
    assert answer(busy_view)["ok"] is False
    assert answer(busy_view)["errno"] == errno.errorcode[number]


def test_opening_and_closing_is_no_request(busy_view):
    before = count(busy_view)
    change(busy_view)
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR):
        os.close(os.open(busy_view.control / "commit", flags))
    shell(": > .anvcs/commit; touch .anvcs/commit", busy_view.path)
    assert count(busy_view) == before


def test_an_empty_commit_when_asked(busy_view):
    commit(busy_view.path, "clean up before")
    before = count(busy_view)
    told = commit(busy_view.path, {"message": "empty", "allow_empty": True})
    assert told["paths"] == []
    assert count(busy_view) == before + 1


def test_what_can_be_read(view, python):
    change(view)
    listed = set(os.listdir(view.control))
    assert listed >= {"commit", "status", "log", "graph", "ops", "agent", "stream", "refs", "commits"}
    for name in ("status", "log", "graph", "ops", "agent", "stream"):
        path = view.control / name
        content = path.read_bytes()
        assert content
        assert path.stat().st_size == len(content)
        assert subprocess.run(["cat", path], capture_output=True, check=True).stdout == content
        assert content.endswith(subprocess.run(["tail", "-n", "2", path], capture_output=True, check=True).stdout)
        told = run(python, "-c", f"print(len(open('.anvcs/{name}', 'rb').read()))", cwd=view.path).must()
        assert int(told.output) == len(content)
        if name != "stream":  # writing a name there switches the view
            with pytest.raises(OSError, match=name):
                path.write_bytes(b"x")
    status = json.loads((view.control / "status").read_text())
    assert status["stream"] == "main"
    assert [item["path"] for item in status["changed"]] == ["project/notes.txt"]
    assert "ann" in (view.control / "agent").read_text()
    assert (view.control / "stream").read_text() == "main\n"


def test_agrees_with_the_command(view):
    change(view)
    (view.path / "project" / "new.txt").write_text("new\n")
    os.unlink(view.path / "project" / "crlf.txt")
    told = json.loads(ai_vcs("status", "--json", cwd=view.path))
    status = json.loads((view.control / "status").read_text())
    paths = sorted(item["path"] for item in told["changed"])
    assert paths == sorted(item["path"] for item in status["changed"])
    assert paths == sorted(line[3:] for line in git("status", "--porcelain", cwd=view.path).splitlines())
    done = json.loads(ai_vcs("commit", "-m", "by the command", "--json", cwd=view.path))
    assert done["commit"] == git("rev-parse", "main", cwd=view.repository)
    assert git("status", "--porcelain", cwd=view.path) == ""


def test_the_command_reports_errors(view):
    done = run_command("commit", "-m", "nothing", cwd=view.path)
    assert done.returncode != 0
    assert done.stderr


def test_control_files_belong_to_nobody(view):
    """.anvcs is never committed, never in Git's eyes, and no user can make, remove or rename it."""
    control = view.control
    refusals = (errno.EPERM, errno.EACCES, errno.EROFS, errno.EBUSY, errno.EEXIST, errno.ENOTEMPTY, errno.EXDEV)
    attempts = {
        'os.rename(control, view.path / "renamed")': lambda: os.rename(control, view.path / "renamed"),
        'os.rename(view.path / "project", control)': lambda: os.rename(view.path / "project", control),
        "os.rmdir(control)": lambda: os.rmdir(control),
        'os.unlink(control / "commit")': lambda: os.unlink(control / "commit"),
        'os.rename(control / "status", control / "other")': lambda: os.rename(control / "status", control / "other"),
        'os.rename(control / "status", view.path / "status")': lambda: os.rename(
            control / "status", view.path / "status"
        ),
        'os.rename(view.path / "project" / "app.py", control / "commit")': lambda: os.rename(
            view.path / "project" / "app.py", control / "commit"
        ),
        "os.mkdir(control)": lambda: os.mkdir(control),
        'os.mkdir(control / "sub")': lambda: os.mkdir(control / "sub"),
        'os.symlink("x", control / "link")': lambda: os.symlink("x", control / "link"),
        'os.link(control / "status", view.path / "hard")': lambda: os.link(control / "status", view.path / "hard"),
        'os.chmod(control / "commit", 0o777)': lambda: os.chmod(control / "commit", 0o777),
    }
    allowed = []
    for what, attempt in attempts.items():
        try:
            with fails(*refusals):
                attempt()
        except AssertionError as surprise:
            allowed.append(f"{what}: {surprise}")
    assert not allowed, "\n".join(allowed)
    with fails(*refusals, errno.ENOENT):
        (control / "new").write_bytes(b"")
    change(view)
    told = commit(view.path, "only the notes")
    assert told["paths"] == ["project/notes.txt"]
    tree = git("ls-tree", "-r", "--name-only", "main", cwd=view.repository)
    assert ".anvcs" not in tree
    assert "\n.git\n" not in tree
    assert git("status", "--porcelain", "-uall", cwd=view.path) == ""


def test_provenance(view):
    change(view)
    commit(view.path, {"message": "with provenance", "prompt": "add a line", "tests_passed": True})
    oid = git("rev-parse", "main", cwd=view.repository)
    note = json.loads(git("notes", "--ref=anvcs", "show", oid, cwd=view.repository))
    assert note["prompt"] == "add a line"
    assert note["agent_id"] == "ann"
    assert note["model"] == "m-1"
    assert "add a line" in git("log", "-1", "--notes=anvcs", "main", cwd=view.repository)
    author = git("log", "-1", "--format=%an <%ae>", "main", cwd=view.repository)
    assert author.startswith("ann <")


def test_hooks_are_honoured(view):
    hooks = view.repository / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "pre-commit").write_text("#!/bin/sh\ntest ! -e project/forbidden\n")
    (hooks / "pre-commit").chmod(0o755)
    (hooks / "commit-msg").write_text('#!/bin/sh\necho "Checked: yes" >> "$1"\n')
    (hooks / "commit-msg").chmod(0o755)
    change(view)
    commit(view.path, "allowed\n\nbody\n")
    assert "Checked: yes" in git("log", "-1", "--format=%B", "main", cwd=view.repository)
    (view.path / "project" / "forbidden").write_text("x\n")
    before = count(view)
    done = run("tee", ".anvcs/commit", cwd=view.path, stdin="forbidden\n")
    assert done.code != 0
    assert count(view) == before
    ai_vcs("commit", "--no-verify", "-m", "skipped", cwd=view.path)
    assert count(view) == before + 1
    assert "Checked" not in git("log", "-1", "--format=%B", "main", cwd=view.repository)


def test_an_ordinary_checkout_follows(sample, tmp_path, mounted):
    """It moves with the branch, and a commit that would hurt its own work is refused."""
    plain = tmp_path / "plain"
    git("clone", "-q", str(sample), str(plain), cwd=tmp_path)
    view = mounted(plain, tmp_path / "view")
    change(view)
    commit(view.path, "the checkout follows")
    assert (plain / "project" / "notes.txt").read_text().endswith("changed\n")
    assert git("status", "--porcelain", cwd=plain) == ""
    (plain / "project" / "app.py").write_text("work in the checkout\n")
    change(view)
    commit(view.path, "other paths are dirty there: fine")
    assert git("status", "--porcelain", cwd=plain) == "M project/app.py".rjust(17)
    (view.path / "project" / "app.py").write_text("work in the view\n")
    before = git("rev-parse", "main", cwd=plain)
    done = run("tee", ".anvcs/commit", cwd=view.path, stdin="clash\n")
    assert done.code != 0
    assert "app.py" in answer(view)["message"]
    assert git("rev-parse", "main", cwd=plain) == before
    assert (plain / "project" / "app.py").read_text() == "work in the checkout\n"
