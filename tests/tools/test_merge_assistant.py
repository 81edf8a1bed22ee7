"""An assistant is asked about what a merge left open: what it may do, and what it can't."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from anvcs import assisting
from anvcs.assisting import NoAnswer, assistant
from anvcs.config import MergeConfig
from anvcs.git.notes import Notes
from anvcs.model.secret import Secret
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.merges import commit, empty, trust_commands
from support.programs import git

BASE = {"t.txt": "a\nsame\nz\n", "m.py": "x = 1\n"}
OURS = BASE | {"t.txt": "a\nsame ours\nz\n"}
THEIRS = BASE | {"t.txt": "a\nsame theirs\nz\n"}
GOOD = {"resolution": "same ours theirs\n", "rationale": "both words belong there"}
QUESTION = {"path": "t.txt", "ours": "1\n", "theirs": "2\n"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = empty(tmp_path / "repository")
    monkeypatch.chdir(repository)
    return repository


def prepare(
    place: Path, assistant: str = "", *, guards: str = "[]", timeout_s: int = 30, **sides: dict[str, str]
) -> None:
    config = f"merge:\n  guards: {guards}\n  assistant_timeout_s: {timeout_s}\n"
    if assistant:
        config += f"  assistant: '{assistant}'\n"
    files = {"ai-vcs.config.yaml": config}
    start = commit(place, "start", sides.get("base", BASE) | files)
    commit(place, "main", sides.get("ours", OURS) | files, start)
    commit(place, "side", sides.get("theirs", THEIRS) | files, start)
    git("reset", "-q", "--hard", cwd=place)
    Repository.init(place)
    trust_commands(place)


def merge(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> dict[str, Any]:
    assert main(["merge", "side", *options, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def command(place: Path, answer: object) -> str:
    """A command that answers so, whatever it is asked, and keeps the question."""
    file = place.parent / "answer"
    file.write_text(answer if isinstance(answer, str) else json.dumps(answer))
    return f"cat > {place.parent}/question; cat {file}"


def test_a_command_decides(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, command(place, GOOD), guards="[grep -q theirs t.txt]")
    answer = merge(capsys, "--auto")
    assert (answer["outcome"], answer["files"]) == ("merged", [{"path": "t.txt", "how": "llm"}])
    assert (place / "t.txt").read_text() == "a\nsame ours theirs\nz\n"
    asked = json.loads((place.parent / "question").read_text())
    assert (asked["path"], asked["ours"], asked["theirs"]) == ("t.txt", "same ours\n", "same theirs\n")
    assert (asked["before"], asked["after"]) == ("a\n", "z\n")
    repository = Repository.open(place)
    note = Notes(repository.objects, repository.refs).read(repository.objects.resolve("main"))
    told = json.loads(note or b"")["merge"]
    assert told["files"] == {"t.txt": "llm"}
    assert told["assistant"][0]["rationale"] == GOOD["rationale"]
    audit = (place / ".git/anvcs/audit/assistant.jsonl").read_text()
    assert json.loads(audit)["path"] == "t.txt"


def test_nobody_is_asked_unless_the_merge_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, command(place, GOOD))
    assert merge(capsys, code=exit_codes.FAILED)["outcome"] == "proposal"
    assert not (place.parent / "question").exists()


def test_without_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place)
    answer = merge(capsys, "--auto", code=exit_codes.FAILED)
    assert any("no assistant is configured" in note for note in answer["notes"])


BAD: dict[str, object] = {
    "nothing": "",
    "no JSON": "I think you should",
    "another shape": ["resolution"],
    "no text": {"resolution": 3},
    "drops theirs": {"resolution": "same ours\n"},
    "drops all": {"resolution": ""},
    "adds something": {"resolution": "same ours theirs; rm -rf /\n"},
    "markers": {"resolution": "<<<<<<< same ours\ntheirs\n>>>>>>> x\n"},
    "a NUL": {"resolution": "same ours theirs\0\n"},
    "half a character": '{"resolution": "same ours theirs \\ud800"}',
    "deep": "[" * 100_000,
    "huge": json.dumps({"resolution": "x" * 2_000_000}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_does_no_harm(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, command(place, BAD[name]))
    before = git("rev-parse", "main", cwd=place)
    answer = merge(capsys, "--auto", code=exit_codes.FAILED)
    assert (answer["outcome"], answer["why"]) == ("proposal", "conflicts")
    assert any("was not taken" in note for note in answer["notes"])
    assert [one["path"] for one in answer["conflicts"]] == ["t.txt"]
    assert git("rev-parse", "main", cwd=place) == before


@pytest.mark.parametrize(("program", "why"), [("sleep 100", "too long"), ("exit 3", "ended with 3")])
def test_a_command_that_fails(program: str, why: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, program, timeout_s=1)
    answer = merge(capsys, "--auto", code=exit_codes.FAILED)
    assert any(why in note for note in answer["notes"])


def test_what_does_not_parse(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = {
        "base": {"m.py": "x = [1]\n"},
        "ours": {"m.py": "x = [1, two]\n"},
        "theirs": {"m.py": "x = [1, three()]\n"},
    }
    prepare(place, command(place, {"resolution": "x = [1, two three(]\n"}), **sides)
    answer = merge(capsys, "--auto", "--strategy", "line", code=exit_codes.FAILED)
    assert any("was not taken" in note for note in answer["notes"])


def test_what_the_guards_refuse(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, command(place, GOOD), guards='["! grep -q theirs t.txt"]')
    answer = merge(capsys, "--auto", code=exit_codes.FAILED)
    assert (answer["why"], [one["path"] for one in answer["conflicts"]]) == ("conflicts", ["t.txt"])
    assert any("guards" in note for note in answer["notes"])


# An endpoint


class Endpoint:
    """A server of chat completions on this machine, for as long as a test."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.reply: Callable[[BaseHTTPRequestHandler], None] = lambda handler: send(handler, completion(GOOD))
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the library's name
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((dict(self.headers), json.loads(body)))
                outer.reply(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/chat/completions?x=1"


def completion(answer: object) -> bytes:
    content = answer if isinstance(answer, str) else json.dumps(answer)
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def ask(url: str, **fields: Any) -> assisting.Answer:
    function = assistant(MergeConfig(assistant=url, **fields))
    assert function is not None
    return function(QUESTION)


def test_an_endpoint_decides(endpoint: Endpoint, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(place, endpoint.url)
    assert merge(capsys, "--auto")["files"] == [{"path": "t.txt", "how": "llm"}]
    ((_, body),) = endpoint.asked
    assert json.loads(body["messages"][1]["content"])["theirs"] == "same theirs\n"


def test_what_an_endpoint_is_told(endpoint: Endpoint) -> None:
    endpoint.reply = lambda handler: send(handler, completion(f"```json\n{json.dumps(GOOD)}\n```"))
    answer = ask(endpoint.url, assistant_model="m-1", assistant_token=Secret("hunter2"))
    assert answer.resolution.decode() == GOOD["resolution"]
    ((headers, body),) = endpoint.asked
    assert headers["Authorization"] == "Bearer hunter2"
    assert body["model"] == "m-1"


def test_a_token_needs_https() -> None:
    with pytest.raises(NoAnswer, match="https"):
        ask("http://models.example/v1", assistant_token=Secret("hunter2"))


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"", 500, "500"),
        (b"no JSON", 200, "another shape"),
        (b'{"choices": []}', 200, "another shape"),
        (b'{"choices": [{"message": {"content": null}}]}', 200, "another shape"),
        (b"x" * 2_000_000, 200, "too large"),
    ],
)
def test_an_endpoint_that_fails(body: bytes, status: int, why: str, endpoint: Endpoint) -> None:
    endpoint.reply = lambda handler: send(handler, body, status)
    with pytest.raises(NoAnswer, match=why):
        ask(endpoint.url)


def test_no_redirect_is_followed(endpoint: Endpoint) -> None:
    endpoint.reply = lambda handler: send(handler, b"", 302, Location=endpoint.url)
    with pytest.raises(NoAnswer, match="302"):
        ask(endpoint.url, assistant_token=Secret("hunter2"))
    assert len(endpoint.asked) == 1


def test_one_that_hangs_or_is_not_there(endpoint: Endpoint) -> None:
    release = threading.Event()
    endpoint.reply = lambda _: release.wait(20)
    with pytest.raises(NoAnswer, match="TimeoutError"):
        ask(endpoint.url, assistant_timeout_s=1)
    release.set()
    with pytest.raises(NoAnswer, match="failed"):
        ask("http://127.0.0.1:9/v1")
