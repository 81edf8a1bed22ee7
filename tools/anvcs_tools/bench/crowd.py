"""The agents of the storm from outside: started, let loose together, heard to their end."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anvcs_tools.bench.views import environment

_PATIENCE_S = 900


class AgentFailed(RuntimeError):
    """An agent ended with an error, which it has printed."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name} {what}")


@dataclass(slots=True)
class Running:
    """One agent's process."""

    name: str
    process: "subprocess.Popen[str]"

    def ready(self) -> None:
        """Wait until it has started."""
        if self._line() != "ready":
            raise AgentFailed(self.name, "could not start")

    def begin(self) -> None:
        """Let it work."""
        assert self.process.stdin is not None  # a pipe, see `start_agent`
        self.process.stdin.write("go\n")
        self.process.stdin.close()

    def wait_for_saves(self, count: int) -> None:
        """Return when it has made *count* more saves."""
        for _ in range(count):
            if self._line() != "saved":
                raise AgentFailed(self.name, f"ended before it had made {count} saves")

    def ended(self) -> dict[str, Any]:
        """What it tells at its end; ``gone`` says that the file system had gone away under it."""
        while (line := self._line()) == "saved":
            pass
        if self.process.wait(_PATIENCE_S) or not line:
            raise AgentFailed(self.name, "ended with an error, see above")
        told: dict[str, Any] = json.loads(line)
        return told

    def _line(self) -> str:
        assert self.process.stdout is not None  # a pipe, see `start_agent`
        return self.process.stdout.readline().strip()


@contextmanager
def start_agent(top: Path, name: str, files: Sequence[str], rounds: int, seed: int) -> Iterator[Running]:
    """An agent that is going to work in *top*; it ends with the context."""
    command = [sys.executable, "-m", "anvcs_tools.bench.agent", str(top), name, str(seed), str(rounds), *files]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", env=environment()
    ) as process:
        try:
            yield Running(name, process)
        finally:
            process.kill()


def run_agents(tops: Sequence[Path], files: Sequence[str], rounds: int, seed: int) -> list[dict[str, Any]]:
    """Let one agent work in each of *tops*, all beginning at once; what each told at its end."""
    with ExitStack() as stack:
        agents = [
            stack.enter_context(start_agent(top, f"agent{number}", files, rounds, seed * 1000 + number))
            for number, top in enumerate(tops)
        ]
        for agent in agents:
            agent.ready()
        for agent in agents:
            agent.begin()
        told = [agent.ended() for agent in agents]
    for one in told:
        if one["gone"]:
            raise AgentFailed(one["name"], f"lost its file system: {one['gone']}")
    return told
