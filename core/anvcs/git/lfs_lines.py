"""What the ``.gitattributes`` of a tree give to Git LFS, as lines for ``info/attributes``, which counts for more than they."""

from collections.abc import Iterator, Mapping

from anvcs.git.attributes import attribute_lines

_SPECIAL = b"*?[]\\"


def lfs_lines(files: Mapping[bytes, bytes]) -> list[bytes]:
    """The lines that decide about LFS, those of directories below after those above; *files* by directory."""
    found: list[bytes] = []
    for directory in sorted(files, key=lambda name: (name.count(b"/") + bool(name), name)):
        found += _of_file(directory, files[directory], any_before=bool(found))
    return found


def _of_file(directory: bytes, data: bytes, *, any_before: bool) -> Iterator[bytes]:
    given = any_before
    for pattern, rest in attribute_lines(data):
        words = rest.split()
        said = [word for word in words if word.lstrip(b"-!").partition(b"=")[0] == b"filter"]
        if not said or pattern.startswith(b"[attr]"):
            continue
        if said[-1] == b"filter=lfs":
            given = True
            yield quoted(_below(directory, pattern)) + b" " + b" ".join(words)
        elif given:  # taken from LFS again: our filter looks itself whether it is an artifact
            yield quoted(_below(directory, pattern)) + b" filter=anvcs"


def _below(directory: bytes, pattern: bytes) -> bytes:
    """A pattern of *directory*'s file as one from the top."""
    if not directory:
        return pattern
    return escaped(directory) + (b"/" if b"/" in pattern.rstrip(b"/") else b"/**/") + pattern.removeprefix(b"/")


def escaped(path: bytes) -> bytes:
    """A path as a pattern that means only itself."""
    return b"".join(b"\\" + bytes([char]) if char in _SPECIAL else bytes([char]) for char in path)


def quoted(pattern: bytes) -> bytes:
    """A pattern as it stands in an attributes file."""
    if not any(char in b' "\t\\\n\r' for char in pattern) and not pattern.startswith((b"#", b'"')):
        return pattern
    out = pattern.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + out + b'"'
