"""What can be configured about merging streams."""

from dataclasses import dataclass

from anvcs.config.kinds import Kind, setting
from anvcs.model.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConfig:
    """How streams are merged, and what a merge must pass."""

    strategy: str = setting(
        "structure",
        Kind.TEXT,
        "How files that both sides changed are merged: structure, line, ours, theirs, union, or one that an installed "
        "package offers.",
    )
    strategies: tuple[str, ...] = setting(
        (),
        Kind.LIST,
        'Strategies for some paths, as in "*.lock theirs": a pattern as in .gitignore and a name. The last that '
        "matches counts.",
    )
    guards: tuple[str, ...] = setting(
        ("syntax", "names"),
        Kind.LIST,
        "What a merged tree must pass before the stream moves: syntax and names are built in, anything else is a "
        "command that a shell runs at the top of the merged tree. The last commit of the target says which; somebody on this "
        "machine must have agreed to them (`ai-vcs trust`).",
    )
    guard_timeout_s: int = setting(
        600, Kind.INTEGER, "How long each guard may take, in seconds; after that it has failed.", low=1, high=86_400
    )
    locks: tuple[str, ...] = setting(
        (),
        Kind.LIST,
        'How lock files that both sides changed are written again, as in "package-lock.json npm install '
        "--package-lock-only\": a pattern as in .gitignore and a command, which runs in the file's folder of the merged "
        "tree. Needs consent as guards do.",
    )
    assistant: str = setting(
        "",
        Kind.TEXT,
        "Who is asked, with --auto, about conflicts that are left: a command, or the http:// or https:// address of "
        "an endpoint for chat completions. Empty: nobody.",
    )
    assistant_model: str = setting("", Kind.TEXT, "Which model an endpoint is asked for.")
    assistant_token: Secret | None = setting(None, Kind.SECRET, "What an endpoint is shown as a bearer token.")
    assistant_timeout_s: int = setting(
        60, Kind.INTEGER, "How long the assistant may take for one conflict, in seconds.", low=1, high=3_600
    )
