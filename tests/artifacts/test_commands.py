"""``ai-vcs artifacts``, ``retry-uploads`` and ``storage``, called as a user calls them."""

import json
import os
import shutil
import threading

import pytest

from anvcs.artifact_access import Artifacts
from anvcs.artifacts.errors import StoreUnreachable
from anvcs.artifacts.folders import LocalBlobStore
from anvcs.config import ConfigInvalid, config_template, parse_config
from anvcs.config.editing import add_patterns
from anvcs.model.pointer import encode_pointer
from anvcs.repository import Repository
from anvcs_tools import exit_codes
from anvcs_tools.cli import main
from support.programs import git
from support.s3 import says


class Project:
    """A repository with artifacts in its last commit."""

    def __init__(self, top, capsys):
        self.top, self._capsys = top, capsys
        top.mkdir()
        git("init", "-q", "-b", "main", cwd=top)
        self.commit({"README": b"hello\n"})
        self.run("init")

    def commit(self, files):
        for name, data in files.items():
            (self.top / name).parent.mkdir(parents=True, exist_ok=True)
            (self.top / name).write_bytes(data)
        git("add", "-A", cwd=self.top)
        git("commit", "-qm", "change", cwd=self.top)

    def add(self, contents, *, later=False):
        """Commit pointers to contents that were uploaded."""
        repository = Repository.open(self.top)
        artifacts = Artifacts(repository.store, repository.config("main"))
        kept = {}
        for name, data in contents.items():
            kept[name.encode()] = artifacts.cache.take_chunks([data])
        pins = artifacts.pin(kept, later=later)
        self.commit({name.decode(): encode_pointer(pin) for name, pin in pins.items()})
        return {name.decode(): pin for name, pin in pins.items()}

    def run(self, *arguments, code=0):
        self._capsys.readouterr()
        own = arguments[0] in {"init", "deinit"}
        where = [] if own else ["-C", str(self.top)]
        more = [str(self.top)] if own else []
        assert main([*arguments, *more, *where]) == code
        return self._capsys.readouterr()

    def json(self, *arguments, code=0):
        return json.loads(self.run(*arguments, "--json", code=code).out)


@pytest.fixture
def project(tmp_path, capsys):
    return Project(tmp_path / "project", capsys)


def states(project, *patterns):
    return {one["path"]: one["state"] for one in project.json("artifacts", "list", *patterns)["artifacts"]}


def test_artifacts_come_and_go(project):
    pins = project.add({"a.pt": b"a" * 1000, "data/b.bin": b"b" * 2000})
    assert states(project) == {"a.pt": "local", "data/b.bin": "local"}
    assert project.json("artifacts", "evict", "/data/") == {"evicted": 1, "bytes": 2000}
    assert states(project) == {"a.pt": "local", "data/b.bin": "remote"}
    assert states(project, "*.pt") == {"a.pt": "local"}
    assert project.json("artifacts", "evict", "--all") == {"evicted": 1, "bytes": 1000}
    fetched = project.json("artifacts", "fetch")
    filled_in = ["a.pt", "data/b.bin"]
    assert fetched == {"fetched": 2, "bytes": 3000, "here": 0, "failed": [], "filled_in": filled_in}
    assert project.json("artifacts", "fetch")["here"] == 2
    assert project.json("artifacts", "verify", "--remote") == {"verified": 2, "damaged": [], "missing": []}
    (listed,) = project.json("artifacts", "list", "a.pt")["artifacts"]
    assert listed["pin"] == pins["a.pt"].document()
    assert project.run("artifacts", "list").out.splitlines()[1].split() == ["local", "1000", "a.pt"]


def test_what_is_gone_from_the_store_is_told(project):
    pins = project.add({"a.pt": b"a" * 1000, "b.pt": b"b" * 1000})
    repository = Repository.open(project.top)
    artifacts = Artifacts(repository.store, repository.config("main"))
    artifacts.store.delete_version("a.pt", pins["a.pt"].version_id)
    (missing,) = project.json("artifacts", "verify", "--remote", code=exit_codes.REMOTE)["missing"]
    assert missing["path"] == "a.pt"
    assert artifacts.pin({b"c.pt": artifacts.cache.take_chunks([b"a" * 1000])})[b"c.pt"].key == "c.pt"  # again
    project.run("artifacts", "evict", "--all")
    told = project.json("artifacts", "fetch", code=exit_codes.REMOTE)
    assert told["fetched"] == 1
    assert "there is no version" in told["failed"][0]["problem"]


def test_stores_are_asked_for_many_at_a_time(project, monkeypatch):
    """Nobody's answer comes before all have asked; what is wrong is told by path."""
    pins = project.add({f"{number}.pt": b"%d" % number * 1000 for number in range(16)})
    project.run("artifacts", "evict", "--all")
    barrier = threading.Barrier(16, timeout=60)
    exists = LocalBlobStore.exists

    def together(self, key, version_id=None):
        barrier.wait()
        return exists(self, key, version_id) and key != pins["7.pt"].key

    monkeypatch.setattr(LocalBlobStore, "exists", together)
    found = project.json("artifacts", "verify", "--remote", code=exit_codes.REMOTE)
    assert found == {
        "verified": 0, "damaged": [], "missing": [{"path": "7.pt", "problem": "the store doesn't have this version"}]
    }  # fmt: skip


def test_a_list_of_pieces_that_is_gone_is_told(project):
    pin = project.add({"a.pt": os.urandom(5 << 20)})["a.pt"]
    repository = Repository.open(project.top)
    Artifacts(repository.store, repository.config("main")).store.delete_version(pin.pieces.key, pin.pieces.version_id)
    (missing,) = project.json("artifacts", "verify", "--remote", code=exit_codes.REMOTE)["missing"]
    assert missing["path"] == "a.pt"


def test_a_store_that_is_away_is_not_asked_for_each(project, monkeypatch):
    project.add({f"{number}.pt": b"%d" % number * 1000 for number in range(50)})
    asked = []

    def away(self, key, version_id=None):
        asked.append(key)
        raise StoreUnreachable("local", "no route")

    monkeypatch.setattr(LocalBlobStore, "exists", away)
    found = project.json("artifacts", "verify", "--remote", code=exit_codes.REMOTE)
    assert len(found["missing"]) == 50
    assert found["verified"] == 50
    assert len(asked) <= 16


def test_damage_is_found(project):
    pins = project.add({"a.pt": os.urandom(300_000)})
    repository = Repository.open(project.top)
    path = repository.store.root / "cache" / "sha256" / pins["a.pt"].sha256[:2] / pins["a.pt"].sha256[2:]
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.unlink()
    path.write_bytes(data)
    assert project.json("artifacts", "verify", code=exit_codes.DAMAGED)["damaged"] == ["a.pt"]
    assert states(project) == {"a.pt": "remote"}
    project.commit({"c.pt": b"anvcs artifact 1\nsize x\n"})
    listed = project.json("artifacts", "list", code=exit_codes.DAMAGED)["artifacts"]
    assert [one["state"] for one in listed] == ["remote", "damaged"]


def test_what_was_committed_without_an_upload_is_uploaded_later(project):
    pins = project.add({"a.pt": b"a" * 1000}, later=True)
    assert states(project) == {"a.pt": "queued"}
    assert [one["sha256"] for one in project.json("artifacts", "status")["queued"]] == [pins["a.pt"].sha256]
    assert project.json("artifacts", "evict", "--all")["evicted"] == 0
    assert project.json("retry-uploads") == {"uploaded": [pins["a.pt"].sha256], "failed": [], "left": 0}
    assert states(project) == {"a.pt": "local"}


def test_deinit_keeps_the_only_copy(project):
    project.add({"a.pt": b"a" * 1000})
    told = project.run("deinit", code=exit_codes.REFUSED).err
    assert "the only copy of 1 contents" in told
    assert "among them a.pt: " in told
    assert "cp -a" in told
    assert states(project) == {"a.pt": "local"}
    kept = project.top.parent / "kept"
    shutil.copytree(project.top / ".git" / "anvcs" / "blobs", kept)
    project.run("deinit", "--drop-artifacts")
    project.run("init")
    assert project.run("artifacts", "fetch", code=exit_codes.REMOTE)
    shutil.copytree(kept, project.top / ".git" / "anvcs" / "blobs")
    assert project.json("artifacts", "fetch")["fetched"] == 1


def test_deinit_tells_of_what_is_not_sent(project, tmp_path, monkeypatch):
    share = tmp_path / "share"
    share.mkdir()
    settings = f"storage: {{mode: hybrid, primary: local, fallback: nfs}}\nadapters: {{nfs: {{mount_path: {share}}}}}\n"
    project.commit({"ai-vcs.config.yaml": settings.encode()})

    def away(self, *args, **more):
        raise StoreUnreachable("local", "no route")

    with monkeypatch.context() as patched:
        patched.setattr(LocalBlobStore, "upload", away)
        project.add({"a.pt": b"a" * 1000})  # the fallback has it, and notes in the store say so
    told = project.run("deinit", code=exit_codes.REFUSED).err
    assert "a.pt: `ai-vcs retry-uploads`" in told
    project.run("retry-uploads")
    assert "retry-uploads" not in project.run("deinit", code=exit_codes.REFUSED).err


def test_fsck_looks_at_the_embedded_store(project):
    pins = project.add({"a.pt": b"a" * 1000})
    assert project.json("fsck")["ok"]
    (version,) = (Repository.open(project.top).store.root / "blobs").glob("k*/*")
    version.unlink()
    version.write_bytes(b"b" * 1000)
    (finding,) = project.json("fsck", code=exit_codes.DAMAGED)["findings"]
    assert finding["where"] == f"artifact {pins['a.pt'].version_id}"
    assert project.json("fsck", "--repair")["ok"]


def test_the_embedded_store_is_ready(project):
    found = project.json("storage", "check")
    assert found["ok"]
    assert [one["check"] for one in found["checks"]] == [
        "configuration", "owners", "patterns", "store", "put", "get", "delete", "queue",
    ]  # fmt: skip
    assert project.json("storage", "doctor")["setup"]["cache"]["bytes"] == 0


def test_files_of_two_owners_are_reported(project):
    project.commit(
        {"ai-vcs.config.yaml": b"blobs: {track: '*.pt'}\n", ".gitattributes": b"*.pt filter=lfs\n", "a.pt": b"x"}
    )
    found = project.json("storage", "check", code=exit_codes.REMOTE)
    (owners,) = [one for one in found["checks"] if one["check"] == "owners"]
    assert not owners["ok"]
    assert "a.pt" in owners["detail"]


def test_artifacts_without_a_pattern_are_listed(project):
    project.add({"a.pt": b"x" * 1000, "aside": b"y" * 1000})
    project.commit({"ai-vcs.config.yaml": b"blobs: {track: '*.pt'}\n"})
    (found,) = [one for one in project.json("storage", "check")["checks"] if one["check"] == "patterns"]
    assert "matches: aside; " in found["detail"]


S3 = """
storage: {{mode: s3}}
adapters:
  s3:
    provider: other
    endpoint_url: {url}
    bucket: {bucket}
    region: us-east-1
    access_key_id: "${{OUR_KEY}}"
    secret_access_key: "${{OUR_SECRET}}"
"""


@pytest.fixture
def bucket(project, s3_server, proxy, monkeypatch):
    """The project's artifacts are in a bucket."""
    monkeypatch.setenv("OUR_KEY", s3_server.key)
    monkeypatch.setenv("OUR_SECRET", s3_server.secret)
    name = s3_server.bucket()
    project.commit({"ai-vcs.config.yaml": S3.format(url=proxy.url, bucket=name).encode()})
    return name


def test_a_bucket_is_looked_at_step_by_step(project, bucket, proxy, s3_server, monkeypatch):
    found = project.json("storage", "check")
    assert found["ok"]
    assert [one["check"] for one in found["checks"]] == [
        "configuration", "owners", "patterns", "store", "proxy", "dns", "tls", "credentials", "clock", "bucket", "versioning",
        "put", "get", "delete", "queue",
    ]  # fmt: skip
    shown = project.run("storage", "doctor", "--verbose").out
    assert 'adapters.s3.secret_access_key: "<secret>"' in shown
    assert s3_server.secret not in shown.replace(str(project.top), "")
    proxy.clock_s = -1200
    failed = [one for one in project.json("storage", "check", code=exit_codes.REMOTE)["checks"] if not one["ok"]]
    assert [one["check"] for one in failed] == ["clock"]
    assert "20 minutes ahead" in failed[0]["detail"]
    proxy.clock_s = 0
    proxy.fault("GET", "versioning", says(403, "InvalidAccessKeyId"))
    failed = [one for one in project.json("storage", "check", code=exit_codes.REMOTE)["checks"] if not one["ok"]]
    assert [one["check"] for one in failed] == ["bucket"]
    monkeypatch.delenv("OUR_SECRET")
    project.run("storage", "check", code=exit_codes.REMOTE)


def test_both_stores_of_a_hybrid_are_looked_at(project, bucket, proxy, s3_server):
    settings = (project.top / "ai-vcs.config.yaml").read_text()
    hybrid = settings.replace("{mode: s3}", "{mode: hybrid, primary: s3, fallback: local}")
    project.commit({"ai-vcs.config.yaml": hybrid.encode()})
    found = project.json("storage", "doctor", "--verbose")
    assert found["ok"]
    names = [one["check"] for one in found["checks"]]
    assert names[names.index("credentials") :] == [
        "credentials", "clock", "bucket", "versioning", "put", "get", "delete", "fallback put", "fallback get",
        "fallback delete", "queue",
    ]  # fmt: skip
    assert found["setup"]["store"]["bucket"] == bucket
    assert found["setup"]["store"]["fallback"]["name"]
    proxy.fault("GET", "versioning", says(403, "InvalidAccessKeyId"))
    checks = project.json("storage", "check", code=exit_codes.REMOTE)["checks"]
    assert [one["check"] for one in checks if not one["ok"]] == ["bucket"]
    assert checks[-1]["detail"] == "nothing waits for an upload"


def test_artifacts_in_a_bucket(project, bucket):
    data = os.urandom(9 << 20)
    pins = project.add({"a.pt": data})
    assert pins["a.pt"].bucket == bucket
    project.run("artifacts", "evict", "--all")
    assert project.json("artifacts", "fetch")["bytes"] == len(data)
    assert project.json("artifacts", "verify", "--remote")["missing"] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'blobs:\n  track:\n    - "*.pt"\n'),
        ("agent: {}  # us", 'agent: {}  # us\n\nblobs:\n  track:\n    - "*.pt"\n'),
        ("blobs:  # ours\n  # track: []\nroom:\n", 'blobs:  # ours\n  track:\n    - "*.pt"\n  # track: []\nroom:\n'),
        ("blobs:\n    compress: true\n", 'blobs:\n    track:\n      - "*.pt"\n    compress: true\n'),
        ("blobs:\n  track:\n  - a  # one\n\nroom:\n", 'blobs:\n  track:\n  - a  # one\n  - "*.pt"\n\nroom:\n'),
        ("blobs:\n  track: [a, 'b c'] # x\n", 'blobs:\n  track: ["a", "b c", "*.pt"] # x\n'),
        ("blobs: {track: a, compress: yes}\n", 'blobs: {track: ["a", "*.pt"], compress: yes}\n'),
        ("blobs:\n  track: ['*.pt']\n", "blobs:\n  track: ['*.pt']\n"),
        ("agent: {name: '${NOBODY}'}\n", "agent: {name: '${NOBODY}'}\n\nblobs:\n  track:\n    - \"*.pt\"\n"),
    ],
)
def test_track_changes_one_list_and_nothing_else(before, after):
    assert add_patterns(before.encode(), ["*.pt"]).decode() == after


def test_track_works_on_the_template():
    edited = add_patterns(config_template().encode(), ["*.pt", "${x} \"'"])
    assert parse_config(edited).blobs.track == ("*.pt", "${x} \"'")


def test_track_leaves_to_a_person_what_it_cannot_do():
    with pytest.raises(ConfigInvalid, match=r"add to blobs.track: \"\*.pt\""):
        add_patterns(b"blobs: {compress: yes}\n", ["*.pt"])


def test_track_writes_the_file(project):
    document = project.json("artifacts", "track", "*.pt", "/data/**")
    assert document["changed"]
    assert parse_config((project.top / "ai-vcs.config.yaml").read_bytes()).blobs.track == ("*.pt", "/data/**")
    assert not project.json("artifacts", "track", "*.pt")["changed"]
