"""Writes the reference pages that are made from code: ``python -m anvcs_tools.refdocs``.

A test compares the files with what would be written, so they can't fall behind.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from anvcs.config import LATER, MAX_BYTES, Kind, Setting, config_template, settings
from anvcs.config.template import written
from anvcs.merging.profiles import Profile, all_profiles
from anvcs.model.merge import EXPLAINED
from anvcs_tools.cli.parser import build_parser
from anvcs_tools.exit_codes import MEANING

DOCS = Path(__file__).resolve().parents[2] / "docs"
_GENERATED = "<!-- Written by `make docs` from {}: change it there. -->\n"


def pages() -> dict[Path, str]:
    """Return every generated page with its content."""
    reference = DOCS / "reference"
    return {
        reference / "command-line.md": "\n".join(_command_line()),
        reference / "configuration.md": "\n".join(_configuration()),
        reference / "merging.md": "\n".join(_merging()),
    }


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _command_line() -> Iterator[str]:
    yield "# The command line\n"
    yield _GENERATED.format("tools/anvcs_tools/cli/parser.py and exit_codes.py")
    yield "Data goes to standard output and messages to standard error. With `--json` a command prints one JSON"
    yield 'document; a failed one prints `{"error": {"type", "exit_code", "message"}}`. Names of files in JSON are'
    yield "strings; bytes that are not UTF-8 appear as `\\udc80` to `\\udcff` (Python's surrogateescape). Shapes of the"
    yield "documents: [json.md](json.md).\n"
    parser = build_parser()
    for name, command in _commands(parser).items():
        yield f"## ai-vcs {name}\n"
        yield from _described(command)
    yield "## Exit codes\n"
    yield "| code | meaning |"
    yield "|---|---|"
    for code, meaning in MEANING.items():
        yield f"| {code} | {meaning} |"
    yield ""


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001  # argparse offers no other way to its subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # as above
            found: dict[str, argparse.ArgumentParser] = dict(action.choices)
            return found
    return {}


def _described(command: argparse.ArgumentParser) -> Iterator[str]:
    # Not argparse's own text: that differs from one Python to the next.
    actions = [action for action in command._actions if action.dest != "help"]  # noqa: SLF001  # as in _commands
    words = [_word(action) for action in actions if not action.option_strings]
    yield f"{command.description}\n"
    yield "```text"
    yield " ".join([command.prog, "[OPTIONS]", *words])
    yield "```\n"
    yield "| argument | what it does |"
    yield "|---|---|"
    for action in sorted(actions, key=lambda action: bool(action.option_strings)):
        name = ", ".join(action.option_strings) or _word(action).strip("[]. ")
        value = f" {_word(action)}" if action.option_strings and action.nargs != 0 else ""
        yield f"| `{name.replace('|', ', ')}{value}` | {action.help} |"
    yield "\n```sh"
    yield from (line.strip() for line in (command.epilog or "").splitlines()[1:])
    yield "```\n"


def _word(action: argparse.Action) -> str:
    name = str(action.metavar or "|".join(map(str, action.choices or ())) or action.dest)
    return {"?": f"[{name}]", "*": f"[{name} ...]"}.get(str(action.nargs), name)


def _configuration() -> Iterator[str]:
    yield "# Configuration\n"
    yield _GENERATED.format("core/anvcs/config/schema.py")
    yield "`ai-vcs.config.yaml` lies at the top of the repository. Everything in it is optional. `ai-vcs init --config`"
    yield "writes a commented one, `ai-vcs config check` reads it and tells each complaint with its line. The command line"
    yield "goes before the file. What the last commit of a stream has counts for its views, from their next mount on; while"
    yield "no commit has the file, that of the work tree counts.\n"
    yield "`${VAR}` and `${VAR:-default}` take a value from the environment; `$${` is a plain `${`. A variable whose name"
    yield "looks like a secret (`…TOKEN`, `…SECRET…`, `…PASSWORD`, …) is only filled into a key that looks like one. Secret"
    yield "values are never printed. A key that is a secret takes `${VAR}` and nothing else: the value itself must not stand in"
    yield "the file. A variable that is missing there is a warning, and the store says what it needs when it needs it.\n"
    yield "The file belongs to the repository, so it is read with care: YAML without tags, anchors and aliases, at most"
    yield f"{MAX_BYTES >> 10} KiB. An unknown key is a warning, a wrong value an error.\n"
    for section in dict.fromkeys(setting.section for setting in settings()):
        yield f"## {section}\n"
        yield "| key | value | default | what it does |"
        yield "|---|---|---|---|"
        for setting in settings():
            if setting.section == section:
                yield f"| `{setting.name}` | {_kind(setting)} | `{written(setting)}` | {setting.doc} |"
        yield ""
    if LATER:
        yield "## Sections of coming versions\n"
        yield "Accepted, and not used yet:\n"
        yield from (f"* `{name}`: {doc}" for name, doc in LATER.items())
        yield ""
    yield "## A file with everything\n"
    yield "```yaml"
    yield config_template().rstrip()
    yield "```\n"


def _merging() -> Iterator[str]:
    yield "# Merging\n"
    yield _GENERATED.format("core/anvcs/merging/languages/*.toml and core/anvcs/model/merge.py")
    yield "What `ai-vcs merge-file` and the merge driver know of each kind of file. How they use it is told in"
    yield "[merging by syntax](../explanation/semantic-merge.md).\n"
    yield "## Reasons\n"
    yield "Why a conflict is one:\n"
    yield "| reason | meaning |"
    yield "|---|---|"
    yield from (f"| `{reason.value}` | {text} |" for reason, text in EXPLAINED.items())
    yield "\n## Languages\n"
    yield "Lists not named here are kept in order: two additions in one place of them are a conflict. *May stand in any"
    yield "order* means that what both sides add there is kept, left's first, or by the alphabet where both sides keep it.\n"
    for profile in all_profiles():
        yield f"### {profile.name}\n"
        names = [*(f"*.{suffix}" for suffix in profile.suffixes), *profile.names]
        yield f"Files: {', '.join(f'`{name}`' for name in names)}. Grammar: `{profile.grammar[0]}`.\n"
        yield "| list | may stand in any order | names of items |"
        yield "|---|---|---|"
        yield from _lists(profile)
        yield ""


def _lists(profile: Profile) -> Iterator[str]:
    for listing in profile.listings:
        if not listing.commutes:
            continue
        groups = {group for mixed in listing.commutes for group in mixed.split()}
        members = [member for member in profile.members if member.group in groups]
        keyed = {node: " ".join(member.key) for member in members for node in member.nodes if member.key}
        inside = f" in {', '.join(listing.of)}" if listing.of else ""
        free = ", ".join(dict.fromkeys(node for member in members for node in member.nodes))
        named = ", ".join(f"{node}: {key}" for node, key in keyed.items()) or "the whole text"
        yield f"| {', '.join(listing.nodes)}{inside} | {free} | {named} |"


def _kind(setting: Setting) -> str:
    if setting.kind is Kind.CHOICE:
        return "one of " + ", ".join(f"`{choice}`" for choice in setting.choices)
    if setting.kind is Kind.SIZE:
        return f"size, {_size(setting.low)} to {_size(setting.high)}"
    if setting.kind is Kind.INTEGER:
        return f"{setting.low} to {setting.high}"
    return str(setting.kind.value)


def _size(number: int) -> str:
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if number and number % (1 << power) == 0:
            return f"{number >> power} {unit}"
    return str(number)


if __name__ == "__main__":
    main()
