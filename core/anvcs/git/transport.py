"""Push and pull over Git's own transports: the branch and the notes together, notes merged and never forced."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git.checkouts import Followed, advance
from anvcs.git.commits import Signer, create_commit
from anvcs.git.config import Configuration
from anvcs.git.history import Signature
from anvcs.git.notes import Notes, NotesMerge
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git, GitFailed, redacted
from anvcs.git.refs import Refs
from anvcs.model.ids import Oid

_HEADS = "refs/heads/"
_NOTES_ATTEMPTS = 5
_STALE = ("fetch first", "non-fast-forward", "stale info", "needs force", "already exists")
_MISSING = re.compile(r"couldn't find remote ref|no such remote ref", re.IGNORECASE)
_TREE_LINE = 40
_CLEAN, _CONFLICTS = 0, 1  # exit codes of git merge-tree

Advance = Callable[[Oid, Oid | None, str], "list[Followed]"]
"""Moves the stream's branch to a new commit from an old one, with a reflog message; raises when it may not."""


class NoRemote(AnvcsError):
    """The repository has no remote to push to or pull from, or several and no default."""

    def __init__(self, known: tuple[str, ...] = ()) -> None:
        if known:
            why = f"this repository has several remotes ({', '.join(known)}) and none is the default: name one"
        else:
            why = "this repository has no remote: add one with `git remote add origin URL`"
        super().__init__(why)
        self.known = known


class NoSuchRemoteBranch(AnvcsError):
    """The remote does not have the branch."""

    def __init__(self, remote: str, branch: str) -> None:
        super().__init__(f"{remote} has no branch {branch}; push it first")
        self.remote, self.branch = remote, branch


class PushRejected(AnvcsError):
    """The remote did not take the branch."""

    def __init__(self, remote: str, branch: str, reason: str) -> None:
        stale = any(word in reason for word in _STALE)
        way_out = "; pull first, then push again" if stale else ""
        super().__init__(f"{remote} did not take {branch}: {reason}{way_out}")
        self.remote, self.branch, self.reason, self.stale = remote, branch, reason, stale


class PullConflict(AnvcsError):
    """Ours and the remote's commits change the same places; nothing has moved."""

    def __init__(self, branch: str, remote: str, paths: tuple[bytes, ...], fetched: Oid) -> None:
        names = ", ".join(path.decode(errors="backslashreplace") for path in paths)
        super().__init__(
            f"{branch} and {remote} conflict in {names}; "
            f"run `git merge {fetched.hex()[:12]}` in a view or checkout of {branch} and resolve it there",
        )
        self.branch, self.remote, self.paths, self.fetched = branch, remote, paths, fetched


class TransportFailed(AnvcsError):
    """Git could not talk to the remote; the complaint is its own, without passwords."""

    def __init__(self, action: str, remote: str, complaint: str) -> None:
        super().__init__(f"cannot {action} {remote}: {complaint.strip()}")
        self.action, self.remote, self.complaint = action, remote, complaint


class GitTooOld(AnvcsError):
    """The installed git lacks a command that we need."""

    def __init__(self, need: str) -> None:
        super().__init__(f"merging diverged branches needs git {need} or newer")
        self.need = need


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did."""

    remote: str
    url: str
    """Without user and password."""
    branch: str
    remote_branch: str
    commit: Oid
    branch_moved: bool
    """False: the remote had this commit already."""
    notes_moved: bool
    notes_merged: bool
    """The remote's notes had diverged and were merged with ours first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull did."""

    remote: str
    url: str
    branch: str
    remote_branch: str
    old: Oid | None
    new: Oid
    fetched: Oid
    how: str
    """``created``, ``up-to-date``, ``ahead`` (nothing to take, ours is newer), ``fast-forward`` or ``merge``."""
    notes: NotesMerge | None
    """``None``: the remote has no notes."""
    followed: tuple[Followed, ...] = ()


@dataclass(frozen=True, slots=True)
class _Line:
    """One ref in the answer of ``git push --porcelain``."""

    flag: str
    ref: str
    reason: str


class Transport:
    """Exchanges one repository's branches and notes with its remotes.

    With *work_tree*, git's ``pre-push`` hook runs there; give it only in processes that serve no mount.
    """

    def __init__(
        self, store: ObjectStore, refs: Refs, notes: Notes, config: Configuration, work_tree: Path | None = None
    ) -> None:
        self._store, self._refs, self._notes, self._config = store, refs, notes, config
        self._git = Git(store.common_dir)
        self._push_git = Git(store.common_dir, work_tree)

    def remote_for(self, branch: str, *, pushing: bool = False) -> str:
        """The remote that git would use for *branch*; raises :class:`NoRemote`."""
        get = self._config.get
        known = tuple(self._config.sections("remote"))
        chosen = (get(f"branch.{branch}.pushremote") or get("remote.pushdefault")) if pushing else None
        chosen = chosen or get(f"branch.{branch}.remote")
        if chosen and chosen != ".":
            return chosen
        if "origin" in known:
            return "origin"
        if len(known) != 1:
            raise NoRemote(known)
        return known[0]

    def push(self, branch: str, *, who: Signature, remote: str | None = None) -> Pushed:
        """Send *branch* and the notes, together where the remote can; merges the notes first when they diverged."""
        remote = remote or self.remote_for(branch, pushing=True)
        target = self._push_target(branch, remote)
        merged = False
        for _ in range(_NOTES_ATTEMPTS):
            lines = self._send(remote, branch, target)
            notes = lines.get(self._notes.ref)
            if notes is not None and notes.flag == "!" and any(word in notes.reason for word in _STALE):
                merged = self._take_notes(remote, who) is not None or merged
                continue
            return self._pushed(remote, branch, target, lines, merged=merged)
        raise PushRejected(remote, self._notes.ref, "others keep moving the notes there")

    def pull(
        self,
        branch: str,
        *,
        who: Signature,
        author: Signature | None = None,
        remote: str | None = None,
        sign: Signer | None = None,
        advance_branch: Advance | None = None,
    ) -> Pulled:
        """Fetch *branch* and the notes, merge the notes, and move our branch: forward, or to a merge commit.

        *author* (default *who*) makes the merge commit.  *advance_branch* replaces the way the branch moves.
        Raises :class:`PullConflict` and then nothing has moved but the notes.
        """
        remote = remote or self.remote_for(branch)
        source = self._pull_source(branch, remote)
        fetched = self._fetch(remote, source)
        notes = self._merge_fetched_notes(remote, who)
        ref = _HEADS + branch
        old = self._refs.get(ref)
        new, how = self._joined(branch, source, remote, old, fetched, author or who, who, sign)
        followed: list[Followed] = []
        if new != old:
            move = advance_branch or self._advance_with(ref, who)
            followed = move(new, old, f"pull {remote} {source}: {how}")
        return Pulled(
            remote=remote,
            url=self._url(remote),
            branch=branch,
            remote_branch=source,
            old=old,
            new=new,
            fetched=fetched,
            how=how,
            notes=notes,
            followed=tuple(followed),
        )

    # Push

    def _push_target(self, branch: str, remote: str) -> str:
        if self._config.get("push.default") in {"upstream", "tracking"}:
            return self._pull_source(branch, remote)
        return branch

    def _send(self, remote: str, branch: str, target: str) -> dict[str, _Line]:
        refspecs = [f"{_HEADS}{branch}:{_HEADS}{target}"]
        if self._refs.get(self._notes.ref) is not None:
            refspecs.append(f"{self._notes.ref}:{self._notes.ref}")
        command = ["push", "--porcelain", "--atomic", "--end-of-options", remote, *refspecs]
        done = self._push_git.run(*command, allow=(1, 128))
        if done.code == 128 and "atomic" in done.err:
            command.remove("--atomic")
            done = self._push_git.run(*command, allow=(1, 128))
        lines = _parse_push(done.out.decode("utf-8", "surrogateescape"))
        if done.code != 0 and not any(line.flag == "!" for line in lines.values()):
            raise TransportFailed("push to", remote, done.err)
        return lines

    def _pushed(self, remote: str, branch: str, target: str, lines: dict[str, _Line], *, merged: bool) -> Pushed:
        for ref, line in lines.items():
            # With --atomic the innocent ref is rejected too: blame the other.
            if line.flag == "!" and "atomic" not in line.reason:
                raise PushRejected(remote, ref.removeprefix(_HEADS), line.reason)
        rejected = next((line for line in lines.values() if line.flag == "!"), None)
        if rejected is not None:
            raise PushRejected(remote, rejected.ref.removeprefix(_HEADS), rejected.reason)
        commit = self._refs.get(_HEADS + branch)
        assert commit is not None
        own, notes = lines.get(_HEADS + target), lines.get(self._notes.ref)
        return Pushed(
            remote=remote,
            url=self._url(remote),
            branch=branch,
            remote_branch=target,
            commit=commit,
            branch_moved=own is not None and own.flag != "=",
            notes_moved=notes is not None and notes.flag != "=",
            notes_merged=merged,
        )

    # Pull

    def _pull_source(self, branch: str, remote: str) -> str:
        upstream = self._config.get(f"branch.{branch}.merge") or ""
        if self._config.get(f"branch.{branch}.remote") == remote and upstream.startswith(_HEADS):
            return upstream.removeprefix(_HEADS)
        return branch

    def _fetch(self, remote: str, source: str) -> Oid:
        """Fetch a branch, and the notes if there are any, in one conversation; returns the branch's commit."""
        scratch = f"refs/anvcs/fetched/{secrets.token_hex(8)}"
        try:
            self._git.run(
                "fetch", "--no-write-fetch-head", "--no-auto-maintenance", "--end-of-options", remote,
                f"+{_HEADS}{source}:{scratch}", self._notes_refspec(remote),
            )  # fmt: skip
        except GitFailed as error:
            if _MISSING.search(error.stderr):
                raise NoSuchRemoteBranch(remote, source) from error
            raise TransportFailed("fetch from", remote, error.stderr) from error
        fetched = self._refs.get(scratch)
        if fetched is None:
            raise NoSuchRemoteBranch(remote, source)
        self._refs.delete(scratch, fetched)
        return fetched

    def _notes_refspec(self, remote: str) -> str:
        # A pattern: a remote without notes is no error then.
        return f"+{self._notes.ref}*:{fetched_notes_ref(remote, self._notes.ref)}*"

    def _take_notes(self, remote: str, who: Signature) -> NotesMerge | None:
        try:
            self._git.run("fetch", "--no-write-fetch-head", "--no-auto-maintenance", "--no-tags", "--end-of-options",
                          remote, self._notes_refspec(remote))  # fmt: skip
        except GitFailed as error:
            raise TransportFailed("fetch from", remote, error.stderr) from error
        return self._merge_fetched_notes(remote, who)

    def _merge_fetched_notes(self, remote: str, who: Signature) -> NotesMerge | None:
        theirs = self._refs.get(fetched_notes_ref(remote, self._notes.ref))
        if theirs is None:
            return None
        return self._notes.merge(theirs, who=who, message=f"notes: merge those of {remote}")

    def _advance_with(self, ref: str, who: Signature) -> Advance:
        def move(new: Oid, old: Oid | None, message: str) -> list[Followed]:
            return advance(self._store, self._refs, ref, new, old, message=message, who=who)

        return move

    def _joined(
        self, branch: str, source: str, remote: str, old: Oid | None, fetched: Oid,
        author: Signature, committer: Signature, sign: Signer | None,
    ) -> tuple[Oid, str]:  # fmt: skip
        """The commit that has both histories, and how it came about."""
        if old is None:
            return fetched, "created"
        if old == fetched:
            return old, "up-to-date"
        if self._is_ancestor(fetched, old):
            return old, "ahead"
        if self._is_ancestor(old, fetched):
            return fetched, "fast-forward"
        tree = self._merge_trees(branch, remote, old, fetched)
        message = f"Merge branch '{source}' of {self._url(remote)}"
        if branch not in {"main", "master"}:  # as git words it
            message += f" into {branch}"
        commit = create_commit(
            self._store,
            tree=tree,
            parents=(old, fetched),
            message=message.encode("utf-8", "surrogateescape") + b"\n",
            author=author,
            committer=committer,
            sign=sign,
        )
        return commit, "merge"

    def _is_ancestor(self, older: Oid, newer: Oid) -> bool:
        return self._git.run("merge-base", "--is-ancestor", older.hex(), newer.hex(), allow=(1,)).code == 0

    def _merge_trees(self, branch: str, remote: str, ours: Oid, theirs: Oid) -> Oid:
        command = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours.hex(), theirs.hex())
        try:
            done = self._git.run(*command, allow=(_CONFLICTS,))
        except GitFailed as error:
            if "usage:" in error.stderr:
                raise GitTooOld("2.38") from error
            raise TransportFailed("merge with", remote, error.stderr) from error
        tree, *paths = done.out.rstrip(b"\0").split(b"\0")
        if done.code != _CLEAN:
            raise PullConflict(branch, remote, tuple(dict.fromkeys(paths)), theirs)
        oid = Oid(bytes.fromhex(tree[:_TREE_LINE].decode("ascii")))
        self._store.remember(oid)
        return oid

    def _url(self, remote: str) -> str:
        return redacted(self._config.get(f"remote.{remote}.url") or remote)


def fetched_notes_ref(remote: str, ref: str) -> str:
    """Where a remote's notes are kept between fetching and merging."""
    return f"refs/notes/remotes/{_ref_part(remote)}/{ref.removeprefix('refs/notes/')}"


def _ref_part(remote: str) -> str:
    """A remote's name, or its URL, as part of a ref's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", redacted(remote)).strip("-") or "remote"


def _parse_push(output: str) -> dict[str, _Line]:
    """The lines ``<flag> TAB <from>:<to> TAB <summary> (<reason>)`` by the ref at the remote."""
    lines = {}
    for text in output.splitlines():
        flag, tab, rest = text.partition("\t")
        if not tab or len(flag) != 1:
            continue
        names, _, summary = rest.partition("\t")
        lines[names.rpartition(":")[2]] = _Line(flag, names.rpartition(":")[2], summary.strip())
    return lines
