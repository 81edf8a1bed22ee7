"""``python -m anvcs_tools`` is the ``ai-vcs`` command."""

import sys

from anvcs_tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
