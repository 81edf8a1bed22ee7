"""How Git starts our filter: by this very Python, which need not be on anybody's path."""

import shlex
import sys


def filter_program() -> str:
    """The command line for ``filter.anvcs.process``."""
    return f"{shlex.quote(sys.executable)} -m anvcs_tools filter-process"
