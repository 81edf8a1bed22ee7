"""Which strategy each path is merged by, as the configuration says it."""

from collections.abc import Callable
from dataclasses import dataclass

from anvcs.git.patterns import parse_pattern, predicate
from anvcs.merging.strategies import Chooser
from anvcs.model.request import BadRequest


@dataclass(frozen=True, slots=True)
class Ways:
    """A strategy for every path, and others for some: nothing but texts, for other processes too."""

    general: str
    lines: tuple[str, ...] = ()
    """A pattern and the name of a strategy each, as in ``merge.strategies``."""

    def chooser(self) -> Chooser:
        """What tells the strategy of a path; raises `BadRequest` and `NoSuchStrategy`."""
        patterns = []
        for line in self.lines:
            pattern, _, name = line.strip().rpartition(" ")
            if not pattern:
                raise BadRequest(f"merge.strategies: {line!r} needs a pattern and the name of a strategy")
            patterns.append((path_matcher(pattern.strip()), name))
        return Chooser(self.general, patterns)


def path_matcher(pattern: str) -> Callable[[bytes], bool]:
    """Whether a path is meant by *pattern*, written as in ``.gitignore``."""
    matches = predicate(parse_pattern(pattern.encode("utf-8", "surrogateescape")))
    return lambda path: matches(path.rpartition(b"/")[2], path)
