"""The commands about merging, and what they take."""

from anvcs_tools.cli.arguments import FILES, Subparsers, command, completed, in_repository, json_output, quiet, stream


def add_merging(commands: Subparsers) -> None:
    """Everything from a file to a stream, with what comes after."""
    _add_stream_merging(commands)
    _add_trust(commands)
    _add_conflicts(commands)
    _add_merging(commands)


def _add_stream_merging(commands: Subparsers) -> None:
    merge = command(
        commands, "merge", "stream_merging:merge", "merge a stream into another one, or conclude or give up a merge that waits",
        "ai-vcs merge parser\nai-vcs merge parser into main --test-check\nai-vcs merge parser into main --dry-run --explain\n"
        "ai-vcs merge --continue --stream merge/parser-into-main",
    )  # fmt: skip
    merge.add_argument(
        "words", nargs="*", metavar="SRC [into DST]",
        help="the stream to merge, and the one that moves (default: the view's, or the repository's HEAD branch)",
    )  # fmt: skip
    ending = merge.add_mutually_exclusive_group()
    ending.add_argument(
        "--continue", dest="go_on", action="store_true", help="commit a merge whose conflicts are decided"
    )
    ending.add_argument("--abort", action="store_true", help="give up a merge that waits, with its stream")
    ending.add_argument("--list", action="store_true", help="list the merges that wait")
    merge.add_argument("--dry-run", action="store_true", help="only say what would happen")
    merge.add_argument("--no-commit", action="store_true", help="leave also a clean merge as a stream to look at")
    merge.add_argument(
        "--strategy", metavar="NAME", help="structure, line, ours, theirs, union, ... (default: as configured)"
    )
    merge.add_argument("--test-check", action="store_true", help="refuse unless merge.guards runs tests and they pass")
    merge.add_argument("--auto", action="store_true", help="ask the configured assistant about what is left")
    merge.add_argument("--explain", action="store_true", help="tell how each file was merged, block by block")
    merge.add_argument("-m", "--message", metavar="TEXT", help="the commit's message (default: as Git's)")
    merge.add_argument("--agent", metavar="NAME", help="who merges (default: the view's agent)")
    merge.add_argument("--model", metavar="M", help="the model behind the agent")
    merge.add_argument("-n", "--no-verify", action="store_true", help="skip the pre-merge-commit and commit-msg hooks")
    in_repository(merge)
    merge.add_argument(
        "--stream", metavar="S", help="the stream of a merge that waits (default: the view's, or the only)"
    )
    json_output(merge)
    review = command(
        commands, "review", "reviews:review", "decide about merges that tests or policy refused",
        "ai-vcs review list\nai-vcs review show merge/parser-into-main\n"
        'ai-vcs review approve merge/parser-into-main --why "the failing test is wrong" --agent ann',
    )  # fmt: skip
    review.add_argument("action", choices=("list", "show", "approve", "reject"), help="what to do")
    review.add_argument("name", nargs="?", metavar="NAME", help="which merge, as `review list` tells it")
    review.add_argument("--why", metavar="TEXT", help="the reason, which is recorded")
    review.add_argument("--agent", metavar="NAME", help="who decides (default: the view's agent, or Git's identity)")
    in_repository(review)
    json_output(review)


def _add_trust(commands: Subparsers) -> None:
    trust = command(
        commands, "trust", "trusting:trust", "agree to the commands that a stream's committed configuration names",
        "ai-vcs trust\nai-vcs trust --list --stream main\nai-vcs trust --yes\nai-vcs trust --revoke",
    )  # fmt: skip
    trust.add_argument("--yes", action="store_true", help="agree without being asked")
    trust.add_argument("--list", action="store_true", help="only show them")
    trust.add_argument("--revoke", action="store_true", help="take back everything that was agreed to here")
    in_repository(trust)
    stream(trust, "whose configuration")
    json_output(trust)


def _add_conflicts(commands: Subparsers) -> None:
    conflicts = command(
        commands, "conflicts", "quarrels:conflicts",
        "list where concurrent work met, until somebody has looked at it, or say that somebody has",
        "ai-vcs conflicts\nai-vcs conflicts --json\nai-vcs conflicts list 123-0\n"
        "ai-vcs conflicts resolve 123-0 125-2\nai-vcs conflicts resolve 7-0 --theirs\nai-vcs conflicts --exit-code",
    )  # fmt: skip
    conflicts.add_argument(
        "action", nargs="?", choices=("list", "show", "resolve"), default="list", help="what to do (default: list)"
    )
    conflicts.add_argument("ids", nargs="*", metavar="ID", help="these records, as `conflicts` lists them")
    conflicts.add_argument("--all", action="store_true", help="list resolved ones too; with resolve: all that are open")
    side = conflicts.add_mutually_exclusive_group()
    for name, meaning in (
        ("ours", "what the target of the merge has"),
        ("theirs", "what the merged stream has"),
        ("union", "both, the target's first"),
        ("both", "both files, each under its name; of marked lines as --union"),
    ):
        side.add_argument(f"--{name}", dest="side", action="store_const", const=name, help=f"resolve: take {meaning}")
    side.add_argument("--edit", dest="side", action="store_const", const="edit", help="resolve: edit the marked lines")
    conflicts.add_argument("--exit-code", action="store_true", help="exit with 1 when a listed one is open")
    in_repository(conflicts)
    stream(conflicts, "whose conflicts")
    json_output(conflicts)


def _add_merging(commands: Subparsers) -> None:
    merge = command(
        commands, "merge-file", "merging:merge_file",
        "merge two changes of one file by its syntax; the exit code is the number of conflicts, or 128 and more",
        "ai-vcs merge-file base.py ours.py theirs.py -o merged.py\n"
        "ai-vcs merge-file /tmp/1 /tmp/2 /tmp/3 --path src/parser.py --zdiff3\n"
        "ai-vcs merge-file base.json a.json b.json --json",
    )  # fmt: skip
    completed(merge.add_argument("base", metavar="BASE", help="what both sides started from"), FILES)
    completed(merge.add_argument("left", metavar="LEFT", help="one changed version"), FILES)
    completed(merge.add_argument("right", metavar="RIGHT", help="the other changed version"), FILES)
    completed(
        merge.add_argument("-o", "--output", metavar="OUT", help="write the result there (default: standard output)"),
        FILES,
    )
    merge.add_argument("--path", metavar="P", help="the file's name, which tells its language (default: LEFT)")
    merge.add_argument(
        "--marker-size", type=int, default=7, metavar="N", help="length of conflict markers (default: 7)"
    )
    styles = merge.add_mutually_exclusive_group()
    for style, what in (("diff3", "show the base in conflicts"), ("zdiff3", "the same, without lines that both have")):
        styles.add_argument(
            f"--{style}", dest="style", action="store_const", const=style, help=f"{what} (default: as Git is set)"
        )
    merge.add_argument(
        "-L", dest="labels", action="append", default=[], metavar="NAME", help="name in markers: of left, base, right"
    )
    merge.add_argument(
        "--locks", choices=("conflict", "left", "right"), default="conflict",
        help="what to do about lock files that both sides changed (default: conflict)",
    )  # fmt: skip
    quiet(merge)
    json_output(merge)
    driver = command(
        commands, "merge-driver", "merging:merge_driver",
        "have git merge, rebase and cherry-pick use `ai-vcs merge-file`, or no longer",
        "ai-vcs merge-driver install\nai-vcs merge-driver install '*.py' '*.json'\nai-vcs merge-driver uninstall",
    )  # fmt: skip
    driver.add_argument("action", choices=("install", "uninstall"), help="what to do")
    driver.add_argument("patterns", nargs="*", metavar="PATTERN", help="which files (default: all that it knows)")
    in_repository(driver)
    json_output(driver)
