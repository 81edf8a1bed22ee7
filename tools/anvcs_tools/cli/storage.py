"""``storage check`` and ``storage doctor``."""

import argparse
import json
from contextlib import closing
from typing import Any

from anvcs_tools.cli.output import print_json, printable, say
from anvcs_tools.exit_codes import REMOTE


def storage(arguments: argparse.Namespace) -> int:
    """Look at the store, step by step."""
    from anvcs.storage_checks import check_storage, diagnosis
    from anvcs_tools.cli.artifacts import opened
    from anvcs_tools.cli.places import find_place

    place = find_place(arguments)
    repository = place.repository
    config = repository.config(place.stream)
    doctor = arguments.action == "doctor"
    with closing(opened(place)) as artifacts:
        found: list[dict[str, Any]] = []
        for check in check_storage(repository, config, artifacts, repository.refs.get(f"refs/heads/{place.stream}")):
            found.append({"check": check.name, "ok": check.ok, "detail": check.detail})
            if not arguments.json:
                print(printable(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.detail}"), flush=True)
        setup = diagnosis(config, artifacts) if doctor else {}
    passed = all(one["ok"] for one in found)
    if arguments.json:
        print_json({"ok": passed, "checks": found} | ({"setup": setup} if doctor else {}))
    else:
        if doctor:
            _print_setup(setup, verbose=arguments.verbose)
        say("the store is ready" if passed else "the store is not ready")
    return 0 if passed else REMOTE


def _print_setup(setup: dict[str, Any], *, verbose: bool) -> None:
    for name, value in setup["store"].items():
        print(printable(f"store.{name}: {json.dumps(value, ensure_ascii=False)}"))
    for name, value in setup["cache"].items():
        print(printable(f"cache.{name}: {json.dumps(value, ensure_ascii=False)}"))
    if verbose:
        for section, values in setup["configuration"].items():
            for name, value in values.items():
                print(printable(f"{section}.{name}: {json.dumps(value, ensure_ascii=False)}"))
