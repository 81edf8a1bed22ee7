"""What may be written to ``.anvcs/commit``."""

import pytest

from anvcs.model.request import BadRequest, parse_commit_request


@pytest.mark.parametrize("text", ["fix: the parser", "env: say what it is", "- a list of one", "message in a bottle"])
def test_a_line_is_a_message(text):
    assert parse_commit_request(text.encode()).message == text


@pytest.mark.parametrize(
    "text", ['{"message": "m", "paths": ["a/", "."], "coverage": 5}', "message: m\npaths: [a/, .]\ncoverage: 5"]
)
def test_a_mapping(text):
    request = parse_commit_request(text.encode())
    assert (request.message, request.paths, request.coverage) == ("m", (b"a", b""), 5.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ('{"message": " "}', "empty"),
        ('{"message": 5}', "must be text"),
        ('{"massage": "m"}', "lacks the key message"),
        ('{"message": "m", "speed": 1}', "unknown key 'speed'"),
        ('{"message": "m"', "JSON"),
        ("message: m\nenv: [", "YAML"),
        ("message: m\nenv: [" + "a, " * 30_000, "64 KiB"),
        ("message: m\npaths: []", "list of paths"),
        ("message: m\npaths: [../up]", "not a path"),
        ("message: m\ntests_passed: perhaps", "true or false"),
        ("message: m\ncoverage: yes", "number"),
        ("message: m\ntrailers: {A: [b]}", "without lists"),
        ("message: m\nenv: {a: {b: c}}", "without lists"),
        ('message: m\nenv: {a: "b\\nc"}', "line breaks"),
        ("message: !!python/object/apply:os.getcwd []\npaths: [a]", "YAML"),
    ],
)
def test_what_is_refused(text, words):
    with pytest.raises(BadRequest, match=words):
        parse_commit_request(text.encode())


@pytest.mark.parametrize("text", ['{"message": ' + "[" * 100_000, "message: m\nenv: " + "[" * 5_000])
def test_a_nest_without_end_is_refused(text):
    with pytest.raises(BadRequest, match="nested too deeply"):
        parse_commit_request(text.encode())


def test_a_value_that_holds_itself_many_times_is_refused():
    lines = ["message: m", "env:", "  a0: &a0 [x, x]"]
    lines += [f"  a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 60)]
    with pytest.raises(BadRequest, match="without lists"):
        parse_commit_request("\n".join(lines).encode())
