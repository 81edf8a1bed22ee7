"""Making commits: who, signed or not, and the commit object itself."""

import codecs
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.git.config import Configuration
from anvcs.git.history import Signature, clean_ident, encode_commit, parse_signature
from anvcs.git.messages import EmptyMessage, UnusableMessage, add_trailers, clean_message
from anvcs.git.objects import ObjectStore
from anvcs.git.program import Git, GitFailed
from anvcs.model.ids import Oid

__all__ = [
    "EmptyMessage",
    "NoIdentity",
    "Signature",
    "Signer",
    "SigningFailed",
    "UnusableMessage",
    "add_trailers",
    "agent_signature",
    "clean_message",
    "create_commit",
    "identity",
    "maintain",
    "message_rules",
    "signer_for",
]

AGENT_DOMAIN = "agents.invalid"
"""Where agents without an address of their own live; the top-level domain is reserved and nobody's."""

_WHO = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<email>[^<>]*)>\s*\Z")
_SAMPLE_FOLDER, _SAMPLE_LIMIT = "objects/17", 27  # how git itself guesses whether 6,700 loose objects lie about


class NoIdentity(AnvcsError):
    """Neither an agent nor Git's configuration says who makes the commit."""

    def __init__(self) -> None:
        super().__init__(
            "Git does not know who you are: run `git config --global user.name NAME` and "
            "`git config --global user.email ADDRESS`, or name an agent",
        )


class SigningFailed(AnvcsError):
    """``commit.gpgsign`` asks for a signature and the signing program gave none."""

    def __init__(self, complaint: str) -> None:
        super().__init__(f"the commit could not be signed: {complaint.strip()}")
        self.complaint = complaint


class Signer:
    """Signs commits through git, with whatever ``gpg.format`` and ``user.signingkey`` say."""

    def __init__(self, git_dir: Path, key: str = "") -> None:
        self._git = Git(git_dir)
        self._key = key

    def commit(
        self,
        *,
        tree: Oid,
        parents: tuple[Oid, ...],
        message: bytes,
        author: Signature,
        committer: Signature,
        encoding: str = "",
    ) -> Oid:
        """Write a signed commit; raises :class:`SigningFailed`."""
        settings = ("-c", f"i18n.commitEncoding={encoding or 'UTF-8'}")
        named = [word for parent in parents for word in ("-p", parent.hex())]
        env = {**_who_variables("AUTHOR", author), **_who_variables("COMMITTER", committer)}
        try:
            done = self._git.run(*settings, "commit-tree", f"-S{self._key}", *named, tree.hex(), stdin=message, env=env)
        except GitFailed as error:
            raise SigningFailed(error.stderr) from error
        return Oid(bytes.fromhex(done.out.decode().strip()))


def create_commit(
    store: ObjectStore,
    *,
    tree: Oid,
    parents: tuple[Oid, ...],
    message: bytes,
    author: Signature,
    committer: Signature,
    sign: Signer | None = None,
    encoding: str = "",
) -> Oid:
    """Store a commit object.

    *message* is kept byte for byte.  With *encoding* (``i18n.commitEncoding``), a message in UTF-8 is stored
    in that encoding if it can be, and any other is taken to be in it.
    """
    if b"\0" in message:
        raise UnusableMessage("it holds a NUL byte")
    message, encoding = _in_encoding(message, encoding)
    if sign is not None:
        oid = sign.commit(
            tree=tree, parents=parents, message=message, author=author, committer=committer, encoding=encoding
        )
        store.remember(oid)
        return oid
    return store.write_commit(
        encode_commit(
            tree=tree,
            parents=tuple(dict.fromkeys(parents)),  # git fsck rejects no duplicates, but git never writes one
            author=author,
            committer=committer,
            message=message,
            encoding=encoding,
        ),
    )


def _in_encoding(message: bytes, encoding: str) -> tuple[bytes, str]:
    """The message's bytes and the name of their encoding, which is empty for UTF-8."""
    try:
        known = bool(encoding) and codecs.lookup(encoding).name != "utf-8"
    except LookupError:
        known = False
    if not known:
        return message, ""
    try:
        return message.decode().encode(encoding), encoding
    except UnicodeDecodeError:
        return message, encoding
    except UnicodeEncodeError:
        return message, ""


def signer_for(config: Configuration, git_dir: Path) -> Signer | None:
    """A signer when ``commit.gpgsign`` is set, as seen from *git_dir* (conditional includes and all)."""
    return Signer(git_dir) if config.get_bool("commit.gpgsign", default=False) else None


def message_rules(config: Configuration) -> tuple[str, bytes]:
    """``commit.cleanup`` and the comment character, for :func:`clean_message`."""
    comment = config.get("core.commentchar") or "#"
    return config.get("commit.cleanup") or "default", b"#" if comment == "auto" else os.fsencode(comment)


def identity(
    config: Configuration,
    agent: str | None = None,
    *,
    env: Mapping[str, str] | None = None,
    now: float | None = None,
) -> tuple[Signature, Signature]:
    """Author and committer of a new commit.

    The author is *agent* (``name`` or ``name <address>``) or, without one, who Git's environment and
    configuration name.  The committer is the latter, and the agent where Git knows nobody.
    """
    env = os.environ if env is None else env
    when = time.time() if now is None else now
    author = agent_signature(agent, now=when) if agent else _configured("AUTHOR", config, env, when)
    committer = _configured("COMMITTER", config, env, when) or author
    if author is None or committer is None:
        raise NoIdentity
    return author, committer


def agent_signature(agent: str, *, now: float | None = None) -> Signature:
    """The signature of an agent called ``name`` or ``name <address>``."""
    when = time.time() if now is None else now
    match = _WHO.match(agent)
    if match is not None and (match["name"] or match["email"]):
        name, email = match["name"] or match["email"], match["email"]
    else:
        name = agent
        # An address without spaces and brackets, also for names like "Review <bot".
        email = f"{re.sub(r'[^A-Za-z0-9._+-]+', '-', agent).strip('-.') or 'agent'}@{AGENT_DOMAIN}"
    return Signature(name=clean_ident(name) or "agent", email=email, time_s=int(when), offset_min=_offset(when))


def maintain(store: ObjectStore) -> bool:
    """Let git tidy up as it does after its own commits, when there is reason; says whether it was started."""
    try:
        loose = len(os.listdir(store.common_dir / _SAMPLE_FOLDER))  # noqa: PTH208 - only the count matters
    except FileNotFoundError:
        return False
    if loose <= _SAMPLE_LIMIT:
        return False
    Git(store.common_dir).run("maintenance", "run", "--auto", "--quiet", allow=(1, 128))
    return True


def _configured(role: str, config: Configuration, env: Mapping[str, str], when: float) -> Signature | None:
    """Who Git's variables and settings name as author or committer; ``None`` when either part is missing."""
    low = role.lower()
    name = env.get(f"GIT_{role}_NAME") or config.get(f"{low}.name") or config.get("user.name") or ""
    email = env.get(f"GIT_{role}_EMAIL") or config.get(f"{low}.email") or config.get("user.email") or env.get("EMAIL")
    if not clean_ident(name) or email is None:
        return None
    if env.get(f"GIT_{role}_DATE"):
        variables = {key: env[key] for key in (f"GIT_{role}_DATE",)}
        ident = config.git.run(
            "var", f"GIT_{role}_IDENT", env={**variables, f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": email}
        )
        return parse_signature(ident.out.strip())
    return Signature(name=name, email=email, time_s=int(when), offset_min=_offset(when))


def _offset(when: float) -> int:
    return time.localtime(when).tm_gmtoff // 60


def _who_variables(role: str, who: Signature) -> dict[str, str]:
    line = who.line()
    name, _, rest = line.partition(b" <")
    email, _, date = rest.partition(b"> ")
    return {
        f"GIT_{role}_NAME": os.fsdecode(name),
        f"GIT_{role}_EMAIL": os.fsdecode(email),
        f"GIT_{role}_DATE": "@" + os.fsdecode(date),
    }
