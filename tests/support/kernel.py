"""System calls that Python's ``os`` lacks."""

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4


def rename(old: os.PathLike[str] | bytes, new: os.PathLike[str] | bytes, flags: int = 0) -> None:
    """renameat2(2); raises OSError as ``os.rename`` does."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), ctypes.c_uint(flags)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(old), None, os.fsdecode(new))


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """fallocate(2) with its mode, which ``os.posix_fallocate`` doesn't take."""
    call = _LIBC.fallocate64 if hasattr(_LIBC, "fallocate64") else _LIBC.fallocate
    if call(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def fails(*numbers: int) -> Iterator[None]:
    """The block must fail with one of these errnos."""
    caught: OSError | None = None
    try:
        yield
    except OSError as failure:
        caught = failure
    names = "/".join(errno.errorcode[number] for number in numbers)
    assert caught is not None, f"nothing failed; expected {names}"
    assert caught.errno in numbers, f"expected {names}, got {caught!r}"


@contextmanager
def suppress_refusal() -> Iterator[None]:
    """The block may be refused, if it is done cleanly: EOPNOTSUPP, not ENOSYS or EIO."""
    try:
        yield
    except OSError as failure:
        if failure.errno != errno.EOPNOTSUPP:
            raise
