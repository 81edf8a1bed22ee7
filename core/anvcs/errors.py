"""The root of every error this project raises on purpose.

Leaves live beside the code that raises them.  Each edge gives them a meaning:
``anvcsfs.errnos`` an errno, ``anvcs_tools.exit_codes`` an exit code; tests walk
every leaf through both tables.
"""


class AnvcsError(Exception):
    """Something a user, a repository or a disk did that we can name."""
