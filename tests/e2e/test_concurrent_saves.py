"""Real tools save from stale reads in several views: everybody's edits stay."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anvcs_tools.bench.views import MountedView, ai_vcs, run_command
from anvcs_tools.exit_codes import NOT_FOUND
from support.programs import git, needs
from support.waiting import eventually

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

LINES = [f"line {number}: {'x' * (number % 7)}" for number in range(1, 61)]
TEXT = "\n".join(LINES) + "\n"

Save = Callable[["Agent", Path], Callable[[], None]]
"""Reads a file now; what it returns saves it, from what was read."""

_READ_THEN_WRITE = """
import sys, os, mmap
name, how = sys.argv[1:]
def edit(text):
    return text.replace("line 30:", "LINE 30:")
if how in ("pwrite", "mmap"):
    fd = os.open(name, os.O_RDWR)
    data = os.read(fd, 1 << 20).decode()
else:
    data = open(name).read()
print("read", flush=True)
sys.stdin.readline()
if how == "truncate":
    open(name, "w").write(edit(data))
elif how == "replace":
    with open(name + ".tmp", "w") as out:
        out.write(edit(data))
    os.replace(name + ".tmp", name)
elif how == "backup":
    os.rename(name, name + "~")
    open(name, "w").write(edit(data))
    os.unlink(name + "~")
elif how == "recreate":
    os.unlink(name)
    open(name, "w").write(edit(data))
elif how == "ftruncate":
    with open(name, "r+") as file:
        file.write(edit(data))
        file.truncate()
elif how == "format":
    open(name, "w").write("".join("    " + line for line in edit(data).splitlines(True)))
elif how == "pwrite":
    os.pwrite(fd, b"LINE 30:", data.index("line 30:"))
    os.close(fd)
elif how == "mmap":
    with mmap.mmap(fd, 0) as view:
        at = view.find(b"line 30:")
        view[at : at + 8] = b"LINE 30:"
        view.flush()
    os.close(fd)
elif how == "append":
    with open(name, "a") as file:
        file.write("LINE 30: appended\\n")
"""
_NODE = """
const fs = require('fs');
const name = process.argv[1];
const data = fs.readFileSync(name, 'utf8');
console.log('read');
process.stdin.once('data', () => {
  fs.writeFileSync(name + '.tmp-42', data.replace('line 30:', 'LINE 30:'));
  fs.renameSync(name + '.tmp-42', name);
  process.exit(0);
});
"""


class Agent:
    """A shell that lives as long as its agent, and starts its tools."""

    def __init__(self, view: MountedView) -> None:
        self.view = view
        self._shell = subprocess.Popen(
            ["/bin/bash", "--norc"],
            cwd=view.path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """Run *command* in the shell: what it printed."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{command}\necho; echo '<<done>>'\n")
        self._shell.stdin.flush()
        lines = []
        for line in self._shell.stdout:
            if line == "<<done>>\n":
                break
            lines.append(line)
        return "".join(lines)[:-1]

    def close(self) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.close()
        self._shell.wait(30)
        assert self._shell.stdout is not None
        self._shell.stdout.close()

    def read(self, name: str = "f.txt") -> str:
        return (self.view.path / name).read_text()

    def conflicts(self) -> dict[str, str]:
        """The open conflict records: name of the file → what it says."""
        folder = self.view.control / "conflicts"
        return {file.name: file.read_text() for file in sorted(folder.iterdir())}


def waiting(command: list[str], cwd: Path) -> Callable[[], None]:
    """Start a program that reads, and goes on when what is returned is called."""
    program = subprocess.Popen(command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert program.stdout.readline() == "read\n"

    def go_on() -> None:
        assert program.stdin is not None
        program.communicate("now\n", timeout=60)
        assert program.returncode == 0

    return go_on


def python(how: str) -> Save:
    return lambda agent, name: waiting([sys.executable, "-c", _READ_THEN_WRITE, str(name), how], agent.view.path)


def node(agent: Agent, name: Path) -> Callable[[], None]:
    needs("node")
    return waiting(["node", "-e", _NODE, str(name)], agent.view.path)


def two_commands(agent: Agent, name: Path) -> Callable[[], None]:
    """One process reads, another writes what a third made of it."""
    copy = agent.view.path.parent / f"copy-{agent.view.path.name}"
    agent.run(f"cat {name} > {copy}")
    return lambda: agent.run(f"sed 's/^line 30:/LINE 30:/' {copy} > {name}") and None


def move_command(agent: Agent, name: Path) -> Callable[[], None]:
    copy = agent.view.path.parent / f"copy-{agent.view.path.name}"
    agent.run(f"cat {name} > {copy}")
    return lambda: agent.run(f"sed 's/^line 30:/LINE 30:/' {copy} > {name}.new && mv {name}.new {name}") and None


def shell_variable(agent: Agent, name: Path) -> Callable[[], None]:
    agent.run(f"text=$(cat {name})")
    return lambda: agent.run(f"printf '%s\\n' \"${{text/line 30:/LINE 30:}}\" > {name}") and None


def vim(agent: Agent, name: Path) -> Callable[[], None]:
    needs("vim")
    # In its ex mode vim doesn't write at all what has changed since it read it; else it asks.
    screen = agent.view.path.parent / f"vim-{agent.view.path.name}"
    with screen.open("wb") as out:
        program = subprocess.Popen(
            ["vim", "--not-a-term", "-u", "NONE", "-i", "NONE", "-N", str(name)],
            cwd=agent.view.path,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    assert program.stdin is not None
    keys = program.stdin
    marker = screen.with_name("vim-is-ready")

    def press(text: str) -> None:
        keys.write(text)
        keys.flush()

    press(f":call writefile(['ready'], '{marker}')\r")
    eventually(marker.exists, what="vim to have read the file")
    marker.unlink()

    def save() -> None:
        before = screen.stat().st_size
        press(":%s/^line 30:/LINE 30:/\r:w!\r")
        told = eventually(lambda: [word for word in (b"y/n", b"written") if word in screen.read_bytes()[before:]])
        if told == [b"y/n"]:
            press("y")
            eventually(lambda: b"written" in screen.read_bytes()[before:], what="vim to have written")
        program.communicate(":q!\r", timeout=60)

    return save


def sed(agent: Agent, name: Path) -> Callable[[], None]:
    return lambda: agent.run(f"sed -i 's/^line 30:/LINE 30:/' {name}") and None


def patch(agent: Agent, name: Path) -> Callable[[], None]:
    needs("patch")
    context = TEXT.splitlines()
    hunk = f"--- {name}\n+++ {name}\n@@ -29,3 +29,3 @@\n {context[28]}\n-{context[29]}\n+{context[29].replace('line', 'LINE')}\n {context[30]}\n"
    file = agent.view.path.parent / f"patch-{agent.view.path.name}"
    file.write_text(hunk)
    return lambda: agent.run(f"patch -s {name} < {file}") and None


WAYS: dict[str, Save] = {
    "truncate": python("truncate"),
    "ftruncate": python("ftruncate"),
    "replace": python("replace"),
    "backup": python("backup"),
    "recreate": python("recreate"),
    "pwrite": python("pwrite"),
    "mmap": python("mmap"),
    "append": python("append"),
    "format": python("format"),
    "node": node,
    "two_commands": two_commands,
    "move_command": move_command,
    "shell_variable": shell_variable,
    "vim": vim,
    "sed": sed,
    "patch": patch,
}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Agent]]:
    folder = tmp_path_factory.mktemp("saves")
    repository = folder / "repository"
    git("init", "-q", "-b", "main", str(repository), cwd=folder)
    for way in (*WAYS, "revert", "again", "lines", "noise", "remount", "gone"):
        (repository / f"{way}.txt").write_text(TEXT)
    git("add", "-A", cwd=repository)
    git("commit", "-q", "-m", "start", cwd=repository)
    ai_vcs("init", cwd=repository)
    views = [MountedView(repository, folder / name, ("--agent", name)).mount() for name in ("ann", "bob", "cid")]
    found = [Agent(view) for view in views]
    yield found
    for agent in found:
        agent.close()
        agent.view.unmount()
    shutil.rmtree(folder, ignore_errors=True)


def peers_save(agents: list[Agent], name: str, times: int) -> list[str]:
    """Two peers change lines far from 30, one after the other: what must be there then."""
    marks = []
    for number in range(times):
        agent, line = agents[number % 2], (5 if number % 2 else 50) + number // 2 % 10
        path = agent.view.path / name
        text = path.read_text()
        mark = f"peer {number}"
        assert f"\nline {line}:" in text or "peer" in text
        lines = text.splitlines()
        lines[line - 1] = mark
        marks = [each for each in marks if each in text or each == mark]
        path.write_text("\n".join(lines) + "\n")
        other = agents[1 - number % 2].view.path / name
        eventually(lambda other=other, mark=mark: mark in other.read_text(), what=f"{mark} in the other view")
    return [f"peer {number}" for number in range(max(0, times - 20), times)]


@pytest.mark.parametrize("way", WAYS)
def test_a_save_from_a_stale_read_keeps_twenty_saves_of_peers(agents: list[Agent], way: str):
    ann, *peers = agents
    name = f"{way}.txt"
    save = WAYS[way](ann, Path(name))
    marks = peers_save(peers, name, 20)
    eventually(lambda: marks[-1] in ann.read(name), what="the last save of a peer")
    save()
    texts = {agent.view.path: eventually(lambda agent=agent: said(agent, name), what="ann's edit") for agent in agents}
    assert len(set(texts.values())) == 1, texts
    text = ann.read(name)
    for mark in marks:
        assert f"{mark}\n" in text, f"{mark} is lost:\n{text}"
    assert text.count("LINE 30:") == 1
    assert len(text.splitlines()) == len(LINES) + (way == "append"), text


def said(agent: Agent, name: str) -> str:
    text = agent.read(name)
    return text if "LINE 30:" in text else ""


def test_a_revert_on_purpose_after_having_seen_the_edit(agents: list[Agent]):
    ann, bob, _ = agents
    ann.run("cat revert.txt > /dev/null")
    (bob.view.path / "revert.txt").write_text(TEXT.replace("line 10:", "BOB 10:"))
    eventually(lambda: "BOB" in ann.read("revert.txt"))
    copy = ann.view.path.parent / "copy"
    ann.run(f"cat revert.txt > {copy}; sed -i s/BOB/line/ {copy}")
    ann.run(f"cat {copy} > revert.txt")
    assert ann.read("revert.txt") == TEXT
    eventually(lambda: bob.read("revert.txt") == TEXT)


def test_an_editor_that_saves_twice_reverts_nobody(agents: list[Agent]):
    ann, bob, cid = agents
    program = (
        "import sys\n"
        "name = 'again.txt'; text = open(name).read(); print('read', flush=True)\n"
        "for number in range(4):\n"
        "    sys.stdin.readline()\n"
        "    text = text.replace(f'line {20 + number}:', f'ANN {20 + number}:')\n"
        "    if number == 3: text = text.replace('ANN 20:', 'line 20:')\n"
        "    open(name, 'w').write(text)\n"
        "    print('saved', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ann.view.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as editor:
        assert editor.stdin is not None
        assert editor.stdout is not None
        assert editor.stdout.readline() == "read\n"
        for number in range(4):
            path = bob.view.path / "again.txt"
            path.write_text(path.read_text().replace(f"line {40 + number}:", f"BOB {40 + number}:"))
            eventually(lambda number=number: f"BOB {40 + number}:" in ann.read("again.txt"))
            editor.stdin.write("\n")
            editor.stdin.flush()
            assert editor.stdout.readline() == "saved\n"
            eventually(lambda number=number: f"ANN {20 + min(number, 3)}:" in bob.read("again.txt"))
    expected = TEXT
    for number in range(4):
        expected = expected.replace(f"line {40 + number}:", f"BOB {40 + number}:")
        expected = expected.replace(f"line {20 + number}:", f"ANN {20 + number}:") if number else expected
    for agent in (ann, bob, cid):
        assert eventually(lambda agent=agent: agent.read("again.txt") == expected, what=agent.read("again.txt"))


def test_what_was_read_before_a_remount_is_known(agents: list[Agent]):
    ann, bob, _ = agents
    ann.run("text=$(cat remount.txt); cd /")
    ann.view.unmount()
    (bob.view.path / "remount.txt").write_text(TEXT.replace("line 10:", "BOB 10:"))
    ann.view.mount()
    ann.run(f"cd {ann.view.path}; printf '%s\\n' \"${{text/line 30:/LINE 30:}}\" > remount.txt")
    assert ann.read("remount.txt") == TEXT.replace("line 10:", "BOB 10:").replace("line 30:", "LINE 30:")


def collide(agents: list[Agent], name: str, first: str, second: str) -> None:
    """Ann and Bob both edit line 30 from the same text."""
    ann, bob, _ = agents
    for agent in (ann, bob):
        agent.run(f"text=$(cat {name})")
    ann.run(f"printf '%s\\n' \"${{text/line 30:/{first}}}\" > {name}")
    bob.run(f"printf '%s\\n' \"${{text/line 30:/{second}}}\" > {name}")


def test_the_same_line_leaves_a_record_that_an_edit_resolves(agents: list[Agent]):
    ann, bob, cid = agents
    before = set(cid.conflicts())
    collide(agents, "lines.txt", "ANN 30:", "BOB 30:")
    new = eventually(lambda: {name: page for name, page in cid.conflicts().items() if name not in before})
    ((name, page),) = new.items()
    assert "kind: lines" in page
    assert "path: lines.txt" in page
    assert "lines: 30 to 31" in page
    assert "## ann" in page
    assert "    ANN 30:" in page
    assert "## bob" in page
    assert "    BOB 30:" in page
    ident = name.removesuffix(".md")
    for agent in agents:
        eventually(lambda agent=agent: name in agent.conflicts())
        told = json.loads((agent.view.control / "status").read_text())["conflicts"]
        assert {"id": ident, "path": "lines.txt", "kind": "lines", "lines": [30, 31], "agents": ["ann", "bob"]} in told
    assert ident in ai_vcs("status", cwd=ann.view.path)
    listed = json.loads(ai_vcs("conflicts", "--json", cwd=ann.view.path))
    assert ident in [record["id"] for record in listed["conflicts"]]
    assert run_command("conflicts", "--exit-code", cwd=ann.view.path).returncode == 1
    path = cid.view.path / "lines.txt"
    eventually(lambda: "ANN" in path.read_text() and "BOB" in path.read_text())
    path.write_text(path.read_text().replace("BOB 30: xx\n", ""))
    assert name not in cid.conflicts()
    eventually(lambda: name not in ann.conflicts())
    assert "(resolved)" in ai_vcs("conflicts", "list", ident, cwd=bob.view.path)


def test_resolving_by_command_shows_everywhere(agents: list[Agent]):
    _, bob, cid = agents
    before = set(cid.conflicts())
    collide(agents, "gone.txt", "ANN 30:", "BOB 30:")
    (name,) = eventually(lambda: set(cid.conflicts()) - before)
    ident = name.removesuffix(".md")
    assert "resolved" in run_command("conflicts", "resolve", ident, cwd=bob.view.path).stderr
    for agent in agents:
        eventually(lambda agent=agent: name not in agent.conflicts())
    assert run_command("conflicts", "resolve", "999-0", cwd=bob.view.path).returncode == NOT_FOUND
    assert run_command("conflicts", "resolve", "junk", cwd=bob.view.path).returncode == NOT_FOUND


def test_a_merge_that_does_not_parse_is_told_a_moment_later(agents: list[Agent]):
    ann, bob, cid = agents
    text = "a = 1\nb = (\n    1\n)\nc = 3\nd = 4\n"
    (ann.view.path / "parse.py").write_text(text)
    eventually((bob.view.path / "parse.py").exists)
    for agent in (ann, bob):
        agent.run("text=$(cat parse.py)")
    ann.run("printf '%s\\n' \"${text/b = (/b = [}\" | sed 's/^)/]/' > parse.py")
    bob.run("printf '%s\\n' \"${text/    1/    1)(}\" > parse.py")
    page = eventually(
        lambda: next((page for page in cid.conflicts().values() if "kind: parse" in page), None), what="the record"
    )
    assert "path: parse.py" in page


@pytest.mark.parametrize("way", ["vim", "sed", "replace", "node"])
def test_temporary_files_are_no_ops(agents: list[Agent], way: str):
    ann, bob, _ = agents
    control = bob.view.control
    before = (control / "ops").read_text().splitlines()
    WAYS[way](ann, Path("noise.txt"))()
    eventually(lambda: len((control / "ops").read_text().splitlines()) > len(before))
    new = [json.loads(line) for line in (control / "ops").read_text().splitlines()[len(before) :]]
    assert [(op["kind"], op["path"]) for op in new] == [("edit", "noise.txt")], new
    path = ann.view.path / "noise.txt"
    path.write_text(path.read_text().replace("LINE 30:", "line 30:"))
    eventually(lambda: bob.read("noise.txt") == TEXT)
