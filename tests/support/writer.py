"""A writer outside the file system: works in a view and writes down what was acknowledged.

``python writer.py DIRECTORY NAME SEED``.  Lines on standard output, one JSON list each:
``["try", operation, name, ...]`` before a call and ``["done"]`` after it returned; the
pipe is the journal, so it survives whatever happens to the view.  Ends when a call
fails because the view has gone, with ``["gone", errno]``; or with ``["error", errno]``.
"""

import errno
import hashlib
import json
import os
import random
import sys

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
"""What a caller may see while the serving process dies under it."""


class Writer:
    """Random work on files whose names no other writer uses."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.name = name
        self.known: list[str] = []
        self.number = 0

    def tell(self, *what: object) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def fresh(self) -> str:
        self.number += 1
        kind = self.random.choice(["txt", "bin", "local"])
        return f"{self.name}-{self.number}.{kind}"

    def content(self, name: str) -> bytes:
        size = self.random.choice([0, 10, 300, 5000, 60_000])
        if name.endswith("txt"):
            return "".join(f"{self.name} {self.random.random()}\n" for _ in range(size // 25)).encode()
        return self.random.randbytes(size)

    def step(self) -> None:
        actions = [
            self.create,
            self.create,
            self.save,
            self.append,
            self.rewrite,
            self.rename,
            self.chmod,
            self.unlink,
            self.mkdir,
        ]
        self.random.choice(actions if self.known else [self.create])()

    def create(self) -> None:
        name = self.fresh()
        data = self.content(name)
        self.tell("try", "write", name, digest(data))
        with open(name, "xb", buffering=0) as file:
            write_all(file.fileno(), data)
            if self.random.random() < 0.2:
                os.fsync(file.fileno())
        self.tell("done")
        self.known.append(name)

    def save(self) -> None:
        """Temporary and rename: the old or the new content, never anything else."""
        name = self.random.choice(self.known)
        data = self.content(name)
        temporary = f"{name}.tmp"
        with open(temporary, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
        self.tell("try", "replace", name, digest(data))
        os.replace(temporary, name)
        self.tell("done")

    def rewrite(self) -> None:
        name = self.random.choice(self.known)
        data = self.content(name)
        self.tell("try", "write", name, digest(data))
        with open(name, "wb", buffering=0) as file:
            write_all(file.fileno(), data)
        self.tell("done")

    def append(self) -> None:
        name = self.random.choice(self.known)
        with open(name, "rb") as file:
            old = file.read()
        data = b"appended by %s\n" % self.name.encode()
        self.tell("try", "append", name, digest(old + data))
        with open(name, "ab", buffering=0) as file:
            write_all(file.fileno(), data)
        self.tell("done")

    def rename(self) -> None:
        old = self.random.choice(self.known)
        new = f"{self.name}-{self.number}r{self.random.randrange(10**6)}.{old.rpartition('.')[2]}"
        self.tell("try", "rename", old, new)
        os.rename(old, new)
        self.tell("done")
        self.known[self.known.index(old)] = new

    def chmod(self) -> None:
        name, mode = self.random.choice(self.known), self.random.choice([0o600, 0o644, 0o755, 0o640])
        self.tell("try", "chmod", name, mode)
        os.chmod(name, mode)
        self.tell("done")

    def unlink(self) -> None:
        name = self.random.choice(self.known)
        self.tell("try", "unlink", name)
        os.unlink(name)
        self.tell("done")
        self.known.remove(name)

    def mkdir(self) -> None:
        name = f"{self.name}-{self.random.randrange(10**9)}.d"
        self.tell("try", "mkdir", name)
        os.mkdir(name)
        self.tell("done")


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, in one or several calls."""
    while data:
        data = data[os.write(descriptor, data[:20_000]) :]


def digest(data: bytes) -> str:
    """What names a content in the journal."""
    return hashlib.sha256(data).hexdigest()


def main() -> int:
    """Work until the view is gone."""
    directory, name, seed = sys.argv[1:]
    os.chdir(directory)
    writer = Writer(name, int(seed))
    try:
        while True:
            writer.step()
    except OSError as failure:
        writer.tell("gone" if failure.errno in GONE else "error", failure.errno, str(failure))
        return 0 if failure.errno in GONE else 1


if __name__ == "__main__":
    sys.exit(main())
