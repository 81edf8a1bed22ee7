"""Provenance of one commit: what the note in ``refs/notes/anvcs`` says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributor:
    """What one agent added to a commit."""

    agent: str
    model: str
    added: int
    """Lines."""
    removed: int
    """Lines."""
    paths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The ANVCS commit object (``docs/reference/formats/metadata.md``)."""

    id: str
    stream: str
    agent_id: str
    model: str = ""
    prompt: str = ""
    tests_passed: bool | None = None
    test_report_ref: str = ""
    coverage: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    artifacts: tuple[Mapping[str, object], ...] = ()
    contributors: tuple[Contributor, ...] = ()
    merge: Mapping[str, object] | None = None
    """What was merged and how; ``None`` for a commit that is no merge."""

    def document(self) -> dict[str, object]:
        """The mapping that is written."""
        merge = {} if self.merge is None else {"merge": dict(self.merge)}
        return {
            "format": FORMAT,
            "id": self.id,
            "stream": self.stream,
            "agent_id": self.agent_id,
            "model": self.model,
            "prompt": self.prompt,
            "tests_passed": self.tests_passed,
            "test_report_ref": self.test_report_ref,
            "coverage": self.coverage,
            "env": dict(self.env),
            "artifacts": [dict(item) for item in self.artifacts],
            "contributors": [
                {"agent": one.agent, "model": one.model, "added": one.added, "removed": one.removed, "paths": one.paths}
                for one in self.contributors
            ],
            **merge,
        }

    def encode(self) -> bytes:
        """The bytes of the note and of its mirror."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False).encode() + b"\n"
