"""``init``, ``deinit``, ``config`` and ``completion``."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from anvcs.config import ConfigInvalid
from anvcs.git.filter_setup import filter_program
from anvcs.model.secret import Secret
from anvcs_tools.cli.output import print_json, say

if TYPE_CHECKING:
    from anvcs.config import Config


def init(arguments: argparse.Namespace) -> int:
    """Prepare a repository."""
    from anvcs.repository import Repository

    repository, report = Repository.init(Path(arguments.path), write_config=arguments.config)
    try:
        repository.use_filter(filter_program())
    except ConfigInvalid as error:
        say(f"warning: {error}")  # every command that needs it says so, too
    if arguments.json:
        print_json(
            {
                "common_dir": str(repository.info.common_dir),
                "store": str(repository.store.root),
                "made": report.made,
                "stream": report.head_branch,
                "config_written": str(report.config_written) if report.config_written else None,
            }
        )
    elif not arguments.quiet:
        where = repository.info.work_tree or repository.info.common_dir
        say(f"{where} is ready" if report.made else f"{where} was ready already")
        if report.config_written:
            say(f"wrote {report.config_written}")
        say(f"next: ai-vcs mount {'.' if arguments.path == '.' else arguments.path} DIR")
    return 0


def deinit(arguments: argparse.Namespace) -> int:
    """Leave a plain repository."""
    from anvcs.repository import Repository

    repository = Repository.open(Path(arguments.path))
    repository.deinit(drop_artifacts=arguments.drop_artifacts)
    if arguments.json:
        print_json({"common_dir": str(repository.info.common_dir), "removed": str(repository.store.root)})
    else:
        say(f"{repository.info.common_dir} is a plain Git repository again; refs/notes/anvcs keeps the metadata")
    return 0


def config(arguments: argparse.Namespace) -> int:
    """Check the configuration, or print a template."""
    from anvcs.config import SECTIONS, config_template, parse_config

    if arguments.action == "template":
        print(config_template(), end="")
        return 0
    if arguments.file:
        with Path(arguments.file).open("rb") as file:
            found = parse_config(file.read(), source=arguments.file)
    else:
        from anvcs.repository import Repository

        repository = Repository.open(Path(arguments.repo))
        found = repository.config(repository.default_stream)
    sections = {name: _shown(found, name) for name in SECTIONS}
    if arguments.json:
        # What later sections hold may be secret: only their names are told.
        print_json({"config": sections, "later": sorted(found.later), "warnings": list(found.warnings)})
        return 0
    for warning in found.warnings:
        say(f"warning: {warning}")
    for name, values in sections.items():
        for field, value in values.items():
            print(f"{name}.{field}: {json.dumps(value, ensure_ascii=False)}")  # a scalar of JSON is one of YAML
    return 0


def _shown(found: "Config", section: str) -> dict[str, object]:
    """A section's values; of a secret only whether there is one."""
    from functools import reduce

    values = reduce(getattr, section.split("."), found)
    shown = {name: getattr(values, name) for name in values.__slots__}
    return {name: repr(value) if isinstance(value, Secret) else value for name, value in shown.items()}


def completion(arguments: argparse.Namespace) -> int:
    """Print a completion script."""
    import shtab

    from anvcs_tools.cli.parser import build_parser

    print(shtab.complete(build_parser(), shell=arguments.shell))
    return 0
