"""Run what continuous integration runs: ``python -m anvcs_tools.checks [NAME ...]``.

Every check runs even when an earlier one failed, so that one run shows everything.
"""

import ast
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ROOTS = ("core", "anvcsfs", "tools", "tests")
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 50


def _program(*command: str) -> Callable[[], bool]:
    def run() -> bool:
        # Beside the interpreter: works in .venv and in any other environment, whatever PATH says.
        tool = Path(sys.executable).with_name(command[0])
        return subprocess.run([tool, *command[1:]], cwd=TOP, check=False).returncode == 0

    return run


def oversized(root: Path) -> Iterator[str]:
    """Files and functions under *root* that are longer than the house allows."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > MAX_FILE_LINES:
            yield f"{path}: {lines} lines, at most {MAX_FILE_LINES}: split it by responsibility"
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def _sizes() -> bool:
    # Tests tell a story step by step; their length is not the problem that a long function is.
    found = [line for root in ROOTS if root != "tests" for line in oversized(TOP / root)]
    print("\n".join(found), end="\n" if found else "")
    return not found


CHECKS: dict[str, Callable[[], bool]] = {
    "format": _program("ruff", "format", "--check", "--quiet", *ROOTS),
    "lint": _program("ruff", "check", "--quiet", *ROOTS),
    "types": _program("mypy"),
    "imports": _program("lint-imports", "--no-logo"),
    "spelling": _program("codespell", *ROOTS, "docs", "README.md", "Makefile"),
    "sizes": _sizes,
}


def main(names: Sequence[str] = ()) -> int:
    """Run the named checks, all by default; 0 when they pass."""
    unknown = set(names) - CHECKS.keys()
    if unknown:
        print(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = []
    for name, check in CHECKS.items():
        if names and name not in names:
            continue
        started = time.monotonic()
        passed = check()
        print(f"{name:9} {'ok' if passed else 'FAILED'}  {time.monotonic() - started:.1f} s", flush=True)
        if not passed:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
