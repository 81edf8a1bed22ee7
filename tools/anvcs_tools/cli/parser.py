"""Which commands there are and what they take.  Nothing heavy is imported here.

The reference page and the shell completions are made from this parser.
"""

import argparse

from anvcs_tools.cli.arguments import FILES as _FILES
from anvcs_tools.cli.arguments import FOLDERS as _FOLDERS
from anvcs_tools.cli.arguments import Subparsers as _Subparsers
from anvcs_tools.cli.arguments import command as _command
from anvcs_tools.cli.arguments import completed as _completed
from anvcs_tools.cli.arguments import in_repository as _in_repository
from anvcs_tools.cli.arguments import json_output as _json
from anvcs_tools.cli.arguments import quiet as _quiet
from anvcs_tools.cli.arguments import stream as _stream
from anvcs_tools.cli.merge_parser import add_merging


class _Version(argparse.Action):
    """Look the version up only when somebody asks: even its import takes 50 ms."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            found = version("anvcs")
        except PackageNotFoundError:  # run from a source tree that isn't installed
            found = "unknown version"
        print(f"ai-vcs {found}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="ai-vcs",
        description="A Git repository as a file system that many agents edit at once.",
        epilog="Start with: ai-vcs init, then ai-vcs mount DIR.  Each command explains itself: ai-vcs COMMAND --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parser.set_defaults(handler="anvcs_tools.cli.welcome:welcome")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_setting_up(commands)
    _add_views(commands)
    _add_streams(commands)
    _add_work(commands)
    _add_history(commands)
    _add_looking_back(commands)
    add_merging(commands)
    _add_gc(commands)
    _add_sharing(commands)
    _add_artifacts(commands)
    _add_storage(commands)
    _add_care(commands)
    _add_filter(commands)
    return parser


def _add_setting_up(commands: _Subparsers) -> None:
    init = _command(
        commands, "init", "setting_up:init", "prepare a Git repository for views",
        "ai-vcs init\nai-vcs init ~/src/project --config",
    )  # fmt: skip
    _completed(
        init.add_argument("path", nargs="?", default=".", metavar="PATH", help="the repository (default: here)"),
        _FOLDERS,
    )
    init.add_argument("--config", action="store_true", help="also write a commented ai-vcs.config.yaml")
    _quiet(init)
    _json(init)
    deinit = _command(
        commands, "deinit", "setting_up:deinit", "leave a plain Git repository behind",
        "ai-vcs deinit ~/src/project",
    )  # fmt: skip
    _completed(
        deinit.add_argument("path", nargs="?", default=".", metavar="PATH", help="the repository (default: here)"),
        _FOLDERS,
    )
    deinit.add_argument(
        "--drop-artifacts", action="store_true", help="also when the repository's own store has artifacts, which go"
    )
    _json(deinit)
    config = _command(
        commands, "config", "setting_up:config", "check or show ai-vcs.config.yaml",
        "ai-vcs config check\nai-vcs config check other.yaml --json\nai-vcs config template > ai-vcs.config.yaml",
    )  # fmt: skip
    config.add_argument("action", choices=("check", "template"), help="check the file, or print a commented one")
    _completed(
        config.add_argument("file", nargs="?", metavar="FILE", help="the file (default: the repository's)"), _FILES
    )
    _in_repository(config)
    _json(config)
    completion = _command(
        commands, "completion", "setting_up:completion", "print a completion script for a shell",
        "ai-vcs completion bash > ~/.local/share/bash-completion/completions/ai-vcs\n"
        'ai-vcs completion zsh > "${fpath[1]}/_ai-vcs"',
    )  # fmt: skip
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="which shell")


def _add_views(commands: _Subparsers) -> None:
    mount = _command(
        commands, "mount", "views:mount", "mount a view of a repository at a directory",
        "ai-vcs mount ~/views/ann --agent ann --model m-1\n"
        "ai-vcs mount ~/src/project ~/views/fix --new-stream fix --from v1.2\n"
        "ai-vcs mount ~/src/project ~/views/look --stream main --read-only -o allow_other",
    )  # fmt: skip
    _completed(
        mount.add_argument("repo", nargs="?", default=".", metavar="REPO", help="the repository (default: here)"),
        _FOLDERS,
    )
    _completed(mount.add_argument("dir", metavar="DIR", help="an empty directory, made if it is missing"), _FOLDERS)
    which = mount.add_mutually_exclusive_group()
    _stream(which, "the branch to show")  # type: ignore[arg-type]  # a group adds arguments as a parser does
    which.add_argument("--new-stream", metavar="S", help="make this branch and show it")
    mount.add_argument("--from", dest="start", metavar="REV", help="where the new stream starts (default: HEAD)")
    mount.add_argument("--agent", metavar="NAME", help="who writes here (default: from the configuration)")
    mount.add_argument("--model", metavar="M", help="the model behind the agent")
    mount.add_argument("--name", metavar="VIEW", help="name of the view (default: from the agent or DIR)")
    mount.add_argument("--foreground", action="store_true", help="serve until unmounted instead of returning")
    mount.add_argument(
        "--follow", choices=("live", "manual"),
        help="show peers' work at once, or only at a write to .anvcs/sync (default: as last time, else live)",
    )  # fmt: skip
    mount.add_argument("--read-only", action="store_true", help="refuse every change")
    mount.add_argument(
        "-o", dest="options", action="append", default=[], metavar="OPTS",
        help="comma-separated: allow_other, default_permissions, ro, agent=NAME, stream=S, ...",
    )  # fmt: skip
    _quiet(mount)
    _json(mount)
    umount = _command(commands, "umount", "views:umount", "unmount a view and wait until it has ended",
                      "ai-vcs umount ~/views/ann")  # fmt: skip
    _completed(umount.add_argument("dir", metavar="DIR", help="where the view is mounted"), _FOLDERS)
    umount.add_argument("--lazy", action="store_true", help="detach at once; it ends when nothing uses it any more")
    _quiet(umount)
    _json(umount)
    views = _command(commands, "views", "views:views", "list the views of a repository",
                     "ai-vcs views\nai-vcs views --json | jq -r '.views[].mountpoint'")  # fmt: skip
    _completed(
        views.add_argument("repo", nargs="?", default=".", metavar="REPO", help="the repository (default: here)"),
        _FOLDERS,
    )
    _json(views)


def _add_streams(commands: _Subparsers) -> None:
    stream = _command(
        commands, "stream", "streams:stream", "list, make or delete streams, or switch a view to one",
        "ai-vcs stream list\nai-vcs stream create parser --from v1.2\n"
        "ai-vcs stream switch parser\nai-vcs stream delete parser",
    )  # fmt: skip
    stream.add_argument("action", choices=("list", "create", "delete", "switch"), help="what to do")
    stream.add_argument("name", nargs="?", metavar="NAME", help="which stream")
    stream.add_argument(
        "--from", dest="start", metavar="REV", help="create: where it starts (default: the view's stream, or HEAD)"
    )
    stream.add_argument("--create", action="store_true", help="switch: make the stream first, from where the view is")
    stream.add_argument("--force", action="store_true", help="delete: also with work that nothing else has")
    _in_repository(stream)
    _json(stream)
    collab = _command(
        commands, "collab", "streams:collab", "open a room for several agents, or join one",
        "ai-vcs collab start parser ~/views/ann --agent ann\nai-vcs collab join parser ~/views/bob --agent bob",
    )  # fmt: skip
    collab.add_argument("action", choices=("start", "join"), help="open the room, or mount one more view of it")
    collab.add_argument("room", metavar="ROOM", help="the room's name: that of its stream")
    _completed(
        collab.add_argument("dir", nargs="?", metavar="DIR", help="where to mount a view (start: if at all)"), _FOLDERS
    )
    collab.add_argument("--from", dest="start", metavar="REV", help="start: where a new stream starts (default: HEAD)")
    collab.add_argument("--agent", metavar="NAME", help="who writes in the view (default: from the configuration)")
    collab.add_argument("--model", metavar="M", help="the model behind the agent")
    _in_repository(collab)
    _quiet(collab)
    _json(collab)
    forget = _command(commands, "forget", "streams:forget", "forget an unmounted view with all that only it has",
                      "ai-vcs forget ann\nai-vcs forget ann --force -C ~/src/project")  # fmt: skip
    forget.add_argument("view", metavar="VIEW", help="its name, as `ai-vcs views` tells it")
    forget.add_argument("--force", action="store_true", help="give up files that only the view has")
    _in_repository(forget)
    _json(forget)


def _add_work(commands: _Subparsers) -> None:
    status = _command(commands, "status", "work:status", "show what is not committed yet",
                      "ai-vcs status\nai-vcs status -C ~/src/project --stream main --json")  # fmt: skip
    _in_repository(status)
    _stream(status, "whose uncommitted work")
    _json(status)
    add = _command(commands, "add", "work:add", "choose what the next `ai-vcs commit` takes (without a choice: everything)",
                   "ai-vcs add src/parser.py docs\nai-vcs add --clear")  # fmt: skip
    _completed(
        add.add_argument("paths", nargs="*", metavar="PATH", help="files, or directories with all that is in them"),
        _FILES,
    )
    add.add_argument("--clear", action="store_true", help="forget the choice")
    _in_repository(add)
    _stream(add, "whose next commit")
    _json(add)
    commit = _command(
        commands, "commit", "work:commit", "commit the stream's uncommitted work",
        'ai-vcs commit -m "feat: add parser"\n'
        'ai-vcs commit -m "fix: typo" README.md --prompt "fix the typo" --model m-1 --tests-passed\n'
        "git diff --stat | ai-vcs commit -F -",
    )  # fmt: skip
    _add_commit_options(commit)


def _add_commit_options(commit: argparse.ArgumentParser) -> None:
    message = commit.add_mutually_exclusive_group(required=True)
    message.add_argument("-m", "--message", action="append", metavar="TEXT", help="the message; more are paragraphs")
    message.add_argument("-F", "--file", metavar="FILE", help="read the message from FILE, - is standard input")
    _completed(
        commit.add_argument(
            "paths", nargs="*", metavar="PATH", help="take only these (default: what `add` chose, or all)"
        ),
        _FILES,
    )
    commit.add_argument("--mine", action="store_true", help="take only what the committing agent did, line by line")
    commit.add_argument(
        "--only", action="append", default=[], metavar="PATH", help="take only this file or directory (repeatable)"
    )
    commit.add_argument("--agent", metavar="NAME", help="author, instead of the view's agent")
    commit.add_argument("--model", metavar="M", help="model, instead of the view's")
    commit.add_argument("--prompt", metavar="TEXT", help="what was asked for")
    tests = commit.add_mutually_exclusive_group()
    tests.add_argument("--tests-passed", action="store_true", default=None, help="record that the tests passed")
    tests.add_argument("--tests-failed", action="store_false", dest="tests_passed", help="record that they failed")
    commit.add_argument("--test-report", metavar="WHERE", help="record where the test report is: a path or an address")
    commit.add_argument("--coverage", type=float, metavar="PERCENT", help="record the test coverage")
    commit.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="record a fact (repeatable)")
    commit.add_argument(
        "--trailer", action="append", default=[], metavar="KEY=VALUE", help="add a trailer (repeatable)"
    )
    commit.add_argument("--allow-empty", action="store_true", help="commit even if nothing changed")
    commit.add_argument("-n", "--no-verify", action="store_true", help="skip the pre-commit and commit-msg hooks")
    commit.add_argument("--no-upload", action="store_true", help="queue artifacts; `ai-vcs retry-uploads` uploads them")
    _in_repository(commit)
    _stream(commit, "what to commit")
    _json(commit)


def _add_history(commands: _Subparsers) -> None:
    log = _command(commands, "log", "history:log", "list commits with who made them and how",
                   "ai-vcs log -n 5\nai-vcs log v1.0 --json")  # fmt: skip
    log.add_argument("revision", nargs="?", metavar="REV", help="where to start (default: the stream)")
    log.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    _in_repository(log)
    _json(log)
    graph = _command(commands, "graph", "history:graph", "draw the commits of all streams",
                     "ai-vcs graph\nai-vcs graph -n 200 --json")  # fmt: skip
    graph.add_argument("-n", "--limit", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    _in_repository(graph)
    _json(graph)
    show = _command(commands, "show", "history:show", "show a commit, its metadata and what it changed",
                    "ai-vcs show\nai-vcs show 1a2b3c4 --json")  # fmt: skip
    show.add_argument("revision", nargs="?", metavar="REV", help="the commit (default: the stream's last)")
    _in_repository(show)
    _json(show)
    diff = _command(
        commands, "diff", "comparing:diff", "compare two commits or streams, by line or by what the language calls things",
        "ai-vcs diff main parser\nai-vcs diff --semantic main parser\nai-vcs diff --semantic v1.2 main src --json",
    )  # fmt: skip
    diff.add_argument("old", metavar="A", help="a stream or any revision")
    diff.add_argument("new", metavar="B", help="another one")
    _completed(diff.add_argument("paths", nargs="*", metavar="PATH", help="only these files and directories"), _FILES)
    diff.add_argument(
        "--semantic", action="store_true", help="tell what was moved, renamed, added, or has another signature"
    )
    _in_repository(diff)
    _json(diff)


def _add_looking_back(commands: _Subparsers) -> None:
    blame = _command(
        commands, "blame", "back:blame", "show who last wrote each line of a file, with which model and when",
        "ai-vcs blame src/parser.py\nai-vcs blame --live --json src/parser.py",
    )  # fmt: skip
    _completed(blame.add_argument("path", metavar="PATH", help="the file"), _FILES)
    blame.add_argument("--live", action="store_true", help="the text that the room shows now, uncommitted lines too")
    _in_repository(blame)
    _stream(blame, "whose file")
    _json(blame)
    undo = _command(
        commands, "undo", "back:undo", "reverse one agent's uncommitted work and leave everybody else's",
        "ai-vcs undo --dry-run\nai-vcs undo --agent ben --since 10m src\nai-vcs undo --op 120",
    )  # fmt: skip
    _completed(
        undo.add_argument("paths", nargs="*", metavar="PATH", help="only these files and directories (default: all)"),
        _FILES,
    )
    undo.add_argument("--agent", metavar="NAME", help="whose work (default: the view's agent)")
    undo.add_argument("--since", metavar="T", help="only what came after an op (120), a time, or an age (10m, 2h)")
    undo.add_argument("--op", type=int, metavar="SEQ", help="only this op; of an undo, this takes it back")
    undo.add_argument("--dry-run", action="store_true", help="only say what would happen")
    _in_repository(undo)
    _stream(undo, "whose work")
    _json(undo)


def _add_gc(commands: _Subparsers) -> None:
    gc = _command(
        commands, "gc", "back:gc", "let old ops go from the rooms' logs, and values that nothing names",
        "ai-vcs gc --dry-run\nai-vcs gc --older-than 7d\nai-vcs gc --max-size 1G --json",
    )  # fmt: skip
    gc.add_argument("--older-than", metavar="AGE", help="ops older than this go: 30d, 12h (default: 30d)")
    gc.add_argument("--max-size", metavar="SIZE", help="the oldest go until each log has this size: 500M, 1G")
    gc.add_argument("--uncommitted", action="store_true", help="also ops of uncommitted work, which loses its authors")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    _in_repository(gc)
    gc.add_argument("--stream", metavar="S", help="only this stream's room (default: all)")
    _json(gc)


def _add_sharing(commands: _Subparsers) -> None:
    for name, summary in (
        ("push", "send the stream and its metadata to a remote"),
        ("pull", "get the stream and its metadata from a remote, and merge"),
    ):
        parser = _command(commands, name, f"sharing:{name}", summary,
                          f"ai-vcs {name}\nai-vcs {name} origin --stream main --json")  # fmt: skip
        parser.add_argument("remote", nargs="?", metavar="REMOTE", help="the remote (default: the branch's, or origin)")
        if name == "push":
            parser.add_argument(
                "--allow-unsent", action="store_true", help="push pins of artifacts that are not uploaded yet, too"
            )
        else:
            parser.add_argument(
                "--artifacts", choices=("lazy", "eager"), default="lazy",
                help="fetch artifacts when they are opened, or all of the stream's now (default: lazy)",
            )  # fmt: skip
        _in_repository(parser)
        _stream(parser, "which stream")
        _json(parser)


def _add_artifacts(commands: _Subparsers) -> None:
    artifacts = _command(
        commands, "artifacts", "artifacts:artifacts",
        "list, fetch, evict or verify the artifacts of a stream's last commit, or track more files as artifacts",
        "ai-vcs artifacts list\nai-vcs artifacts fetch 'models/*.pt'\nai-vcs artifacts evict --all\n"
        "ai-vcs artifacts verify --remote --json\nai-vcs artifacts status\nai-vcs artifacts track '*.pt' '/data/**'",
    )  # fmt: skip
    artifacts.add_argument(
        "action",
        choices=("list", "fetch", "evict", "verify", "status", "track"),
        help="list: with their state. fetch: bring them into the cache. evict: drop cached bytes. verify: hash what is "
        "here again. status: cache, store and queue. track: add patterns to blobs.track",
    )
    artifacts.add_argument(
        "patterns", nargs="*", metavar="PATTERN", help="only these, by the rules of .gitignore (default: all)"
    )
    artifacts.add_argument("--all", action="store_true", help="with evict: everything, of any commit")
    artifacts.add_argument("--remote", action="store_true", help="with verify: also ask the store for each version")
    artifacts.add_argument(
        "--import", dest="take_in", action="store_true",
        help="with track: also make artifacts of matching files that Git or LFS has, to be committed; history stays",
    )  # fmt: skip
    _in_repository(artifacts)
    _stream(artifacts, "whose artifacts")
    _json(artifacts)
    retry = _command(
        commands, "retry-uploads", "artifacts:retry_uploads", "upload artifacts that were committed without an upload",
        "ai-vcs retry-uploads\nai-vcs retry-uploads --json",
    )  # fmt: skip
    _in_repository(retry)
    _stream(retry, "whose configuration counts")
    _json(retry)


def _add_storage(commands: _Subparsers) -> None:
    storage = _command(
        commands, "storage", "storage:storage", "check whether the artifacts' store can be used, and find out why not",
        "ai-vcs storage check\nai-vcs storage check --json\nai-vcs storage doctor --verbose",
    )  # fmt: skip
    storage.add_argument(
        "action",
        choices=("check", "doctor"),
        help="check: proxy, DNS, TLS, credentials, clock, bucket, versions, and a small object there and back. doctor: "
        "also the set-up in effect, without secrets",
    )
    storage.add_argument("-v", "--verbose", action="store_true", help="with doctor: every setting")
    _in_repository(storage)
    _stream(storage, "whose configuration counts")
    _json(storage)


def _add_care(commands: _Subparsers) -> None:
    recover = _command(
        commands, "recover", "care:recover", "save uncommitted work as ordinary commits that plain Git can read",
        "ai-vcs recover\nai-vcs recover --stream main --branch rescued",
    )  # fmt: skip
    recover.add_argument("--branch", metavar="NAME", help="also make a branch of the saved commit")
    _in_repository(recover)
    recover.add_argument("--stream", metavar="S", help="only this stream (default: every one with uncommitted work)")
    _json(recover)
    fsck = _command(commands, "fsck", "care:fsck", "check the store for damage", "ai-vcs fsck\nai-vcs fsck --repair")
    fsck.add_argument("--repair", action="store_true", help="keep everything that is good and drop what is not")
    _in_repository(fsck)
    _json(fsck)


def _add_filter(commands: _Subparsers) -> None:
    _command(commands, "filter-process", "filtering:filter_process", "answer Git about artifacts (Git starts it)",
             "ai-vcs filter-process")  # fmt: skip
