"""A view's ignore and attribute files, and the answers that Git would give from them.

Git looks these files up in the work tree.  For a view that is the mount, which the serving
process must never touch.  So the caller hands each ``.gitignore`` and ``.gitattributes`` over when
it loads the directory or when one changes (`Skeleton.put`), and rules are evaluated from memory.
Only when a filter or an encoding needs Git's program are the attribute files written to a
private directory on the real disk, which that program then takes for the work tree.
"""

import contextlib
import os
import threading
from pathlib import Path
from shutil import rmtree

from anvcs.git.attributes import AttributeList, AttributeRules, macros_defined
from anvcs.git.conversion import Conversion, clean_text, conversion_for, smudge_text
from anvcs.git.filters import DEADLINE_SECONDS, Filters
from anvcs.git.ignores import IgnoreList, IgnoreRules
from anvcs.git.settings import Settings, UnreadableSettings, Watched, read_rules, read_settings
from anvcs.model.ids import Oid

IGNORE_NAME = b".gitignore"
ATTRIBUTES_NAME = b".gitattributes"
_MOST_REMEMBERED = 1 << 14


class Skeleton:
    """The rules of one view.  Safe to ask and to tell from several threads."""

    def __init__(
        self, common_dir: Path, private_git_dir: Path, root: Path, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> None:
        """*private_git_dir* and *root* are made (again) as needed; *root* is emptied."""
        self._common_dir, self._git_dir, self._root = common_dir, private_git_dir, root
        self._lock = threading.RLock()
        self._ignore_files: dict[bytes, bytes] = {}
        self._attribute_files: dict[bytes, bytes] = {}
        self._attribute_lists: dict[bytes, AttributeList] = {}
        self._macros: frozenset[bytes] = frozenset()
        self.complaint: UnreadableSettings | None = None
        """Why Git can't read its configuration now; until it can, the last readable one holds."""
        self._unwritten: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._watched = Watched()
        self._make_directories()
        self._filters = Filters(common_dir, private_git_dir, root, deadline_seconds)
        self._settings: Settings
        self._common_ignores: tuple[IgnoreList, ...]
        self._ignore_lists: dict[bytes, IgnoreList]
        self._load()

    def put(self, path: bytes, data: bytes | None) -> None:
        """Say what the view's ``.gitignore`` or ``.gitattributes`` at *path* holds; None: it is gone.

        Only regular files count: Git doesn't follow symlinks here.
        """
        directory, _, name = path.rpartition(b"/")
        with self._lock:
            if name == IGNORE_NAME:
                if _change(self._ignore_files, directory, data):
                    self._ignores_changed(directory)
            elif name == ATTRIBUTES_NAME and _change(self._attribute_files, directory, data):
                self._unwritten.add(directory)
                self._attributes_changed(directory)
                if directory in self._asked:
                    self._expire()

    def ignored(self, path: bytes, is_dir: bool) -> bool:
        """Whether Git would ignore *path* if it were untracked (tracked files are never asked about)."""
        if self._watched.due:
            self.refresh()
        return self._ignores.ignored(path, is_dir=is_dir)

    @property
    def converts_nothing(self) -> bool:
        """Whether `conversion` has no answer but None, for any path."""
        if self._watched.due:
            self.refresh()
        return self._neutral

    def conversion(self, path: bytes) -> Conversion | None:
        """What happens between the blob and the file at *path*; None, mostly, says nothing does."""
        if self._watched.due:
            self.refresh()
        if self._neutral:
            return None
        known = self._conversions
        try:
            return known[path]
        except KeyError:
            found = conversion_for(self._attributes.get(path), self._settings)
            if len(known) >= _MOST_REMEMBERED:
                known.clear()
            known[path] = found
            return found

    def filter_of(self, path: bytes) -> bytes | None:
        """The filter that the attributes give *path*, whether or not it is configured."""
        if self._watched.due:
            self.refresh()
        name = self._attributes.get(path).get(b"filter")
        return name if isinstance(name, bytes) else None

    def smudge(self, path: bytes, data: bytes, oid: Oid | None = None) -> bytes:
        """The bytes that ``git checkout`` writes for a blob; *oid* saves work if the repository has it.

        Raises `ConversionFailed` where Git refuses too.  May take long when a filter fetches.
        """
        conversion = self.conversion(path)
        if conversion is None or not conversion.smudges:
            return data
        if not conversion.smudges_outside:
            return smudge_text(conversion, data)
        self._ready(path)
        return self._filters.smudge(path, data, oid)

    def clean(self, path: bytes, data: bytes, previous: bytes | None = None) -> bytes:
        """The bytes that ``git add`` stores for a file.

        *previous* is the blob that is committed at the path: with ``text=auto`` a file that
        was stored with CRLF keeps it.
        """
        conversion = self.conversion(path)
        if conversion is None:
            return data
        if not conversion.cleans_outside:
            return clean_text(conversion, data, previous)
        self._ready(path)
        return self._filters.clean(path, data)

    def smudge_file(self, path: bytes, oid: Oid, destination: Path) -> None:
        """As `smudge`, from the repository to a file of any size."""
        self._ready(path)
        self._filters.smudge_file(path, oid, destination)

    def clean_file(self, path: bytes, source: Path) -> Oid:
        """As `clean`, for a file of any size; the blob is stored in the repository."""
        self._ready(path)
        return self._filters.clean_file(path, source)

    def refresh(self) -> None:
        """Look now whether configuration, ``info/exclude`` and their like have changed."""
        with self._lock:
            if not self._watched.changed():
                return
            try:
                self._load()
            except UnreadableSettings as complaint:
                self.complaint = complaint
            else:
                self.complaint = None
                self._expire()

    def close(self) -> None:
        """End the helper processes."""
        self._filters.close()

    def _make_directories(self) -> None:
        # What a killed process left behind goes, its helpers' objects included.
        for left in (self._root, self._git_dir / "objects"):
            with contextlib.suppress(FileNotFoundError):
                rmtree(left)
        self._root.mkdir(parents=True)
        self._git_dir.mkdir(parents=True, exist_ok=True)
        (self._git_dir / "commondir").write_bytes(os.fsencode(self._common_dir) + b"\n")
        self._write_head()

    def _write_head(self) -> None:
        """The view's HEAD where it has one: filters may ask which branch this is."""
        for head in (self._git_dir.parent / "git" / "HEAD", self._common_dir / "HEAD"):
            with contextlib.suppress(FileNotFoundError):
                # By rename: a helper that starts now would find no repository behind half a file.
                fresh = self._git_dir / "HEAD.new"
                fresh.write_bytes(head.read_bytes())
                fresh.rename(self._git_dir / "HEAD")
                return

    def _load(self) -> None:
        """Read the configuration and the rule files outside the tree."""
        settings = read_settings(self._common_dir, self._git_dir)
        # Watched before they are read: a change in between is then seen the next time.
        self._watched.watch((*settings.sources, *settings.ignore_files, *settings.attribute_files))
        self._settings = settings
        fold = settings.fold_case
        self._common_ignores = tuple(IgnoreList(read_rules(path), fold=fold) for path in settings.ignore_files)
        self._outside = [read_rules(path) for path in settings.attribute_files]
        self._ignore_lists = {d: IgnoreList(data, fold=fold) for d, data in self._ignore_files.items()}
        self._ignores = IgnoreRules(self._ignore_lists, self._common_ignores)
        self._attributes_changed()

    def _ignores_changed(self, directory: bytes) -> None:
        lists = dict(self._ignore_lists)
        data = self._ignore_files.get(directory)
        if data is None:
            lists.pop(directory, None)
        else:
            lists[directory] = IgnoreList(data, fold=self._settings.fold_case)
        self._ignore_lists = lists
        self._ignores = IgnoreRules(lists, self._common_ignores)

    def _attributes_changed(self, changed: bytes | None = None) -> None:
        """Make the rules anew; *changed*: the one directory whose file is another."""
        info, *others = self._outside
        top = self._attribute_files.get(b"", b"")
        macros = frozenset(name for data in (info, top, *others) for name in macros_defined(data))
        files = dict(self._attribute_lists)
        if changed is None or macros != self._macros:
            files, changes = {}, list(self._attribute_files)
        else:
            changes = [changed]
        for directory in changes:
            files.pop(directory, None)
            if directory in self._attribute_files:
                files[directory] = self._list(self._attribute_files[directory], macros)
        self._macros, self._attribute_lists = macros, files
        first = self._list(info, macros) if info else None
        self._attributes = AttributeRules(first, files, [self._list(data, macros) for data in others if data])
        self._conversions: dict[bytes, Conversion | None] = {}
        self._neutral = self._attributes.neutral and self._settings.autocrlf == "false"

    def _list(self, data: bytes, macros: frozenset[bytes]) -> AttributeList:
        return AttributeList(data, fold=self._settings.fold_case, macros=macros)

    def _ready(self, path: bytes) -> None:
        """Have the attribute files on disk before git reads those above *path*."""
        with self._lock:
            while self._unwritten:
                self._write(self._unwritten.pop())
            while path:
                path = path.rpartition(b"/")[0]
                self._asked.add(path)

    def _write(self, directory: bytes) -> None:
        place = self._root / os.fsdecode(directory) / ".gitattributes"
        data = self._attribute_files.get(directory)
        if data is None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                place.unlink()
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            # By rename: a helper may be reading the file now.
            fresh = place.with_name(".gitattributes.new")
            fresh.write_bytes(data)
            fresh.rename(place)

    def _expire(self) -> None:
        self._asked.clear()
        self._filters.expire()
        self._write_head()


def _change(files: dict[bytes, bytes], directory: bytes, data: bytes | None) -> bool:
    """Whether *files* was brought to say that *directory*'s file holds *data*."""
    if files.get(directory) == data:
        return False
    if data is None:
        del files[directory]
    else:
        files[directory] = data
    return True
