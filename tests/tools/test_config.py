"""``ai-vcs.config.yaml`` as the loader takes it."""

import pytest

from anvcs.config import MAX_BYTES, Config, ConfigInvalid, Secret, config_template, parse_config, settings


def problems(text: str | bytes, **env: str) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(data, source="c", env=env)
    return str(caught.value).splitlines()


def test_template_shows_every_setting_and_changes_none():
    template = config_template()
    assert parse_config(template.encode()) == Config()
    for setting in settings():
        assert f"  # {setting.name}: " in template


def test_template_with_every_comment_removed_gives_the_defaults():
    keys = {setting.name for setting in settings()}
    lines = [
        line.replace("# ", "", 1) if line.strip().removeprefix("# ").split(":")[0] in keys else line
        for line in config_template().splitlines()
    ]
    assert "\n  text_limit: 4MiB" in "\n".join(lines)
    assert parse_config("\n".join(lines).encode()) == Config()


def test_values_of_every_kind():
    config = parse_config(
        b"agent: {name: a, commit_policy: tests_passed}\n"
        b"room: {text_limit: 2MB, max_share_size: 3GiB, wip_interval_s: 0}\n"
        b"mount: {allow_other: yes, xattr: 'off'}\n"
    )
    assert (config.agent.name, config.agent.commit_policy) == ("a", "tests_passed")
    assert (config.room.text_limit, config.room.max_share_size) == (2_000_000, 3 << 30)
    assert config.room.wip_interval_s == 0
    assert config.mount.allow_other
    assert not config.mount.xattr


@pytest.mark.parametrize("text", ["", "# only a comment\n", "agent:\n", "agent: {name: }\n", "\ufeffagent: {}\n"])
def test_nothing_said_is_the_default(text):
    assert parse_config(text.encode()) == Config()


def test_variables():
    text = b'agent: {name: "${WHO}-${N:-1}", model: "$${WHO}"}'
    config = parse_config(text, env={"WHO": "ann"})
    assert (config.agent.name, config.agent.model) == ("ann-1", "${WHO}")
    assert parse_config(b"room: {text_limit: '${L:-1MiB}'}", env={}).room.text_limit == 1 << 20
    # A variable's text is a value, never YAML.
    assert parse_config(b"agent: {name: '${X}'}", env={"X": "{a: b}"}).agent.name == "{a: b}"


def test_missing_variable_is_named_with_its_line():
    assert problems("agent:\n  name: ${NOBODY}\n") == [
        "c:2: agent.name: the environment has no NOBODY; ${NOBODY:-default} gives it a default"
    ]


def test_all_problems_are_told_at_once_in_order():
    found = problems("mount:\n  xattr: maybe\nroom:\n  text_limit: 12 apples\n  wip_interval_s: 100000\nagent: x\n")
    assert [line.split(" ")[0] for line in found] == ["c:2:", "c:4:", "c:5:", "c:6:"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &x 1\nb: *x\n", "anchors and aliases"),
        ("a: !!python/object:os.x {}\n", "tag"),
        ("a: !x 1\n", "tag"),
        ("[1]", "keys at its top"),
        ("a: [\n", "not YAML"),
        (b"a: \xff", "not UTF-8"),
        (b"\0", "not YAML"),
        ("agent: {}\nagent: {}\n", "twice"),
        ("? [a]\n: b\n", "must be a word"),
        ("a: " + "[" * 50, "nested deeper"),
        ("agent: {name: [x]}", "not keys or a list"),
        ('agent: {name: "a\\nb"}', "on one line"),
        ("#" * (MAX_BYTES + 1), "at most"),
        ("storage: 3", "needs keys and values"),
    ],
)
def test_refused(text, reason):
    assert reason in problems(text)[0]


def test_unknown_keys_are_warned_about_with_a_guess():
    config = parse_config(b"agent:\n  modle: x\nstorag: {}\nzzz: 1\n", source="c")
    assert config.warnings == (
        "c:2: unknown key agent.modle; did you mean agent.model?",
        "c:3: unknown key storag; did you mean storage?",
        "c:4: unknown key zzz",
    )


SECRETS = """
storage: {mode: s3, offline: wait}
blobs:
  track: ["*.pt", "/data/**", "!small.pt"]
  compress: yes
adapters:
  s3: {provider: minio, bucket: b, endpoint_url: "http://127.0.0.1:9000", secret_access_key: "${S3_SECRET}"}
  mine: {token: "${MINE}", regions: [x, null]}
"""


def test_artifacts_are_configured():
    config = parse_config(SECRETS.encode(), env={"S3_SECRET": "hunter2", "MINE": "hunter3"})
    assert (config.storage.mode, config.storage.offline) == ("s3", "wait")
    assert config.blobs.track == ("*.pt", "/data/**", "!small.pt")
    assert config.blobs.compress
    assert config.adapters.s3.bucket == "b"
    assert config.adapters.s3.secret_access_key == Secret("hunter2")
    assert config.adapters.other == {"mine": {"token": Secret("hunter3"), "regions": ["x", None]}}
    assert parse_config(b"blobs: {track: '*.pt'}").blobs.track == ("*.pt",)


def test_secrets_are_never_printed():
    config = parse_config(SECRETS.encode(), env={"S3_SECRET": "hunter2", "MINE": "hunter3"})
    assert "hunter" not in repr(config)


@pytest.mark.parametrize("value", ["hunter2", "${S3:-hunter2}", "x${S3}"])
@pytest.mark.parametrize("place", ["adapters: {s3: {access_key_id: '%s'}}", "adapters: {mine: {password: '%s'}}"])
def test_a_secret_comes_from_the_environment_only(place, value):
    (found,) = problems(place % value, S3="x")
    assert "must not stand in a file" in found
    assert "hunter2" not in found


def test_a_secret_that_is_missing_is_no_error():
    config = parse_config(SECRETS.encode(), source="c", env={})
    assert config.adapters.s3.secret_access_key is None
    assert config.warnings == (
        "c:7: secret_access_key: the environment has no S3_SECRET",
        "c:8: token: the environment has no MINE",
    )


def test_a_repository_cannot_carry_a_secret_into_what_commits_show():
    found = problems("agent: {name: '${DEPLOY_TOKEN}'}", DEPLOY_TOKEN="hunter2")
    assert "looks like a secret" in found[0]
    assert "hunter2" not in found[0]


def test_a_wrong_value_from_the_environment_is_not_quoted():
    assert "hunter2" not in problems("room: {text_limit: '${LIMIT}'}", LIMIT="hunter2")[0]
