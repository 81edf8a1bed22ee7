"""A plain, quick server that speaks enough of S3 for the benchmarks: not a store to keep anything in.

``python -m anvcs_tools.bench.s3_server FOLDER`` prints its address.  Bodies are files that go
out by ``sendfile``; everything else is in memory.  It looks at no signature and no checksum,
gives an ETag that means nothing, and keeps versions in every bucket, so what is measured against it
is the client: emulators are slower than any client.
"""

import argparse
import itertools
import os
import socket
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import escape

_BLOCK: Final = 256 << 10
_LONGEST_HEAD: Final = 64 << 10
_INLINE: Final = 64 << 10
"""Up to this size a body goes out together with its head."""
_PAGE: Final = 1000
_XMLNS: Final = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_REASONS: Final = {200: "OK", 204: "No Content", 206: "Partial Content", 404: "Not Found", 416: "Range Not Satisfiable"}


class Piece(NamedTuple):
    """A file that holds some of an object."""

    file: Path
    size: int


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object: pieces in a row."""

    name: str
    pieces: tuple[Piece, ...]
    size: int
    metadata: Mapping[str, str]
    changed: float

    @property
    def etag(self) -> str:
        """Names the version and says nothing of its content."""
        return f'"{self.name}"'


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass(slots=True)
class Request:
    """One request, its body not yet read."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(slots=True)
class Answer:
    """What a request gets: a text, or a part of a version."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    version: Version | None = None
    start: int = 0
    length: int = 0


class Contents:
    """Everything that is stored; any thread may ask."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._buckets: dict[str, dict[str, list[Version]]] = {}
        self._uploads: dict[str, tuple[dict[str, str], dict[int, Piece]]] = {}

    def file(self) -> Path:
        """A new file."""
        return self._folder / str(next(self._numbers))

    def make_bucket(self, name: str) -> None:
        """There is a bucket *name* from now on."""
        with self._lock:
            self._buckets.setdefault(name, {})

    def add(self, bucket: str, key: str, pieces: Sequence[Piece], metadata: Mapping[str, str]) -> Version:
        """A new version."""
        size = sum(piece.size for piece in pieces)
        version = Version(uuid.uuid4().hex, tuple(pieces), size, metadata, time.time())
        with self._lock:
            self._bucket(bucket).setdefault(key, []).append(version)
        return version

    def find(self, bucket: str, key: str, name: str | None) -> Version:
        """A version by name, or the newest."""
        with self._lock:
            versions = self._bucket(bucket).get(key, [])
            for version in reversed(versions):
                if name in (None, version.name):
                    return version
        raise Refused(404, "NoSuchVersion" if name else "NoSuchKey")

    def remove(self, bucket: str, key: str, name: str | None) -> None:
        """Forget a version, or all of them."""
        with self._lock:
            versions = self._bucket(bucket).pop(key, [])
            kept = [version for version in versions if name not in (None, version.name)]
            if kept:
                self._bucket(bucket)[key] = kept

    def listed(self, bucket: str, prefix: str, after: str) -> list[tuple[str, Version]]:
        """Keys and their newest versions, in order."""
        with self._lock:
            found = sorted(key for key in self._bucket(bucket) if key.startswith(prefix) and key > after)
            return [(key, self._buckets[bucket][key][-1]) for key in found]

    def begin(self, metadata: dict[str, str]) -> str:
        """An upload in parts."""
        name = uuid.uuid4().hex
        with self._lock:
            self._uploads[name] = (metadata, {})
        return name

    def add_part(self, upload: str, number: int, piece: Piece) -> None:
        """Another part of it has come."""
        with self._lock:
            self._upload(upload)[1][number] = piece

    def finish(self, bucket: str, key: str, upload: str) -> Version:
        """All parts are here: a version."""
        with self._lock:
            metadata, parts = self._upload(upload)
            del self._uploads[upload]
        return self.add(bucket, key, [parts[number] for number in sorted(parts)], metadata)

    def parts(self, upload: str) -> dict[int, Piece]:
        """The parts that are here."""
        with self._lock:
            return dict(self._upload(upload)[1])

    def abort(self, upload: str) -> None:
        """Forget it."""
        with self._lock:
            self._uploads.pop(upload, None)

    def _bucket(self, name: str) -> dict[str, list[Version]]:
        if name not in self._buckets:
            raise Refused(404, "NoSuchBucket")
        return self._buckets[name]

    def _upload(self, name: str) -> tuple[dict[str, str], dict[int, Piece]]:
        if name not in self._uploads:
            raise Refused(404, "NoSuchUpload")
        return self._uploads[name]


class Line:
    """One connection, served by a thread of its own."""

    def __init__(self, connection: socket.socket, contents: Contents) -> None:
        self._connection, self._contents = connection, contents
        self._rest = b""

    def serve(self) -> None:
        """Answer until the client hangs up."""
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self._connection:
                while (request := self._request()) is not None:
                    self._answer(request)
        except OSError:  # the client is gone
            pass

    # Reading

    def _request(self) -> Request | None:
        while b"\r\n\r\n" not in self._rest:
            block = self._connection.recv(_BLOCK)
            if not block or len(self._rest) > _LONGEST_HEAD:
                return None
            self._rest += block
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        path, _, query = target.partition("?")
        bucket, _, key = path.lstrip("/").partition("/")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Request(
            method,
            urllib.parse.unquote(bucket),
            urllib.parse.unquote(key),
            dict(urllib.parse.parse_qsl(query, keep_blank_values=True)) if query else {},
            headers,
        )

    def _body(self, request: Request) -> Iterator[bytes]:
        if request.headers.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "aws-chunked" in request.headers.get("content-encoding", "") or "chunked" in request.headers.get(
            "transfer-encoding", ""
        ):
            yield from self._chunks()
        else:
            yield from self._exactly(int(request.headers.get("content-length", 0)))

    def _exactly(self, count: int) -> Iterator[bytes]:
        while count:
            block = self._rest[:count] or self._connection.recv(min(_BLOCK, count))
            if not block:
                raise ConnectionError("the body ended early")
            self._rest = self._rest[len(block) :]
            count -= len(block)
            yield block

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._text_line().partition(";")[0], 16):
            yield from self._exactly(size)
            self._text_line()
        while self._text_line():  # trailers
            pass

    def _text_line(self) -> str:
        while b"\r\n" not in self._rest:
            block = self._connection.recv(_BLOCK)
            if not block:
                raise ConnectionError("the body ended early")
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line.decode("latin-1")

    def _kept(self, request: Request) -> Piece:
        file, size = self._contents.file(), 0
        with file.open("xb", buffering=0) as writer:
            for block in self._body(request):
                writer.write(block)
                size += len(block)
        return Piece(file, size)

    # Answering

    def _answer(self, request: Request) -> None:
        try:
            answer = self._find(request)
        except Refused as refusal:
            text = f"<Error><Code>{refusal.code}</Code><Message>{refusal.code}</Message></Error>"
            answer = Answer(refusal.status, text=text)
        self._send(request, answer)

    def _find(self, request: Request) -> Answer:
        if request.key and request.method == "PUT":
            return self._put(request)
        body = b"".join(self._body(request)) if request.method in ("PUT", "POST") else b""
        if not request.key:
            return self._of_bucket(request, body)
        if request.method in ("GET", "HEAD"):
            return self._get(request)
        if request.method == "POST":
            return self._post(request)
        if "uploadId" in request.query:
            self._contents.abort(request.query["uploadId"])
        else:
            self._contents.remove(request.bucket, request.key, request.query.get("versionId"))
        return Answer(204)

    def _of_bucket(self, request: Request, body: bytes) -> Answer:
        if request.method == "PUT":
            self._contents.make_bucket(request.bucket)
            return Answer()
        if "versioning" in request.query:
            return Answer(text=f"<VersioningConfiguration {_XMLNS}><Status>Enabled</Status></VersioningConfiguration>")
        if "location" in request.query:
            return Answer(text=f"<LocationConstraint {_XMLNS}></LocationConstraint>")
        if request.method == "GET":
            return self._list(request)
        if request.method == "HEAD":
            self._contents.listed(request.bucket, "", "")
            return Answer()
        raise Refused(404, f"NotHere{len(body)}")

    def _list(self, request: Request) -> Answer:
        query = request.query
        after = query.get("continuation-token", query.get("start-after", ""))
        rows: list[str] = []
        folders: dict[str, None] = {}
        prefix, delimiter, last = query.get("prefix", ""), query.get("delimiter", ""), ""
        most = int(query.get("max-keys", _PAGE))
        found = self._contents.listed(request.bucket, prefix, after)
        for key, version in found[:most]:
            last = key
            name, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if cut:
                folders[prefix + name + cut] = None
                continue
            when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(version.changed))
            rows.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{when}</LastModified><ETag>{escape(version.etag)}"
                f"</ETag><Size>{version.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        more = len(found) > most
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        common = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders)
        return Answer(
            text=f"<ListBucketResult {_XMLNS}><Name>{request.bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(rows) + len(folders)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{''.join(rows)}{common}</ListBucketResult>"
        )

    def _get(self, request: Request) -> Answer:
        if "uploadId" in request.query:
            rows = "".join(
                f'<Part><PartNumber>{number}</PartNumber><ETag>"{piece.file.name}"</ETag><Size>{piece.size}</Size></Part>'
                for number, piece in sorted(self._contents.parts(request.query["uploadId"]).items())
            )
            return Answer(text=f"<ListPartsResult {_XMLNS}><IsTruncated>false</IsTruncated>{rows}</ListPartsResult>")
        version = self._contents.find(request.bucket, request.key, request.query.get("versionId"))
        headers = {
            "ETag": version.etag,
            "Last-Modified": formatdate(version.changed, usegmt=True),
            "Accept-Ranges": "bytes",
            "x-amz-version-id": version.name,
            "Content-Type": "application/octet-stream",
        } | {f"x-amz-meta-{name}": value for name, value in version.metadata.items()}
        wanted = request.headers.get("range")
        if wanted is None:
            return Answer(200, headers, version=version, length=version.size)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first)
        end = min(int(last) + 1 if last else version.size, version.size)
        if start >= version.size:
            raise Refused(416, "InvalidRange")
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{version.size}"
        return Answer(206, headers, version=version, start=start, length=end - start)

    def _put(self, request: Request) -> Answer:
        piece = self._kept(request)
        if "uploadId" in request.query:
            self._contents.add_part(request.query["uploadId"], int(request.query["partNumber"]), piece)
            return Answer(headers={"ETag": f'"{piece.file.name}"'})
        version = self._contents.add(request.bucket, request.key, [piece], _metadata(request))
        return Answer(headers={"ETag": version.etag, "x-amz-version-id": version.name})

    def _post(self, request: Request) -> Answer:
        if "uploads" in request.query:
            name = self._contents.begin(_metadata(request))
            return Answer(
                text=f"<InitiateMultipartUploadResult {_XMLNS}><UploadId>{name}</UploadId>"
                "</InitiateMultipartUploadResult>"
            )
        version = self._contents.finish(request.bucket, request.key, request.query["uploadId"])
        return Answer(
            headers={"x-amz-version-id": version.name},
            text=f"<CompleteMultipartUploadResult {_XMLNS}><ETag>{escape(version.etag)}</ETag>"
            "</CompleteMultipartUploadResult>",
        )

    # Sending

    def _send(self, request: Request, answer: Answer) -> None:
        text = answer.text.encode()
        length = answer.length if answer.version is not None else len(text)
        lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}", f"Content-Length: {length}"]
        lines += [f"Date: {formatdate(usegmt=True)}", *(f"{name}: {value}" for name, value in answer.headers.items())]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if request.method == "HEAD":
            self._connection.sendall(head)
        elif answer.version is None:
            self._connection.sendall(head + text)
        else:
            self._send_version(head, answer.version, answer.start, length)

    def _send_version(self, head: bytes, version: Version, start: int, length: int) -> None:
        for piece in version.pieces:
            if start >= piece.size:
                start -= piece.size
                continue
            count = min(piece.size - start, length)
            with piece.file.open("rb", buffering=0) as file:
                if head and count <= _INLINE:
                    self._connection.sendall(head + os.pread(file.fileno(), count, start))
                else:
                    self._connection.sendall(head)
                    self._send_file(file.fileno(), start, count)
            head, start, length = b"", 0, length - count
            if not length:
                return
        self._connection.sendall(head)

    def _send_file(self, file: int, start: int, count: int) -> None:
        while count:
            sent = os.sendfile(self._connection.fileno(), file, start, count)
            if not sent:
                raise ConnectionError("a stored file is shorter than it was")
            start, count = start + sent, count - sent


def _metadata(request: Request) -> dict[str, str]:
    mark = "x-amz-meta-"
    return {name.removeprefix(mark): value for name, value in request.headers.items() if name.startswith(mark)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m anvcs_tools.bench.s3_server", description=__doc__)
    parser.add_argument("folder", type=Path, help="where bodies are kept; it must be empty")
    folder: Any = parser.parse_args(arguments).folder
    contents = Contents(folder)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as door:
        print(f"http://127.0.0.1:{door.getsockname()[1]}", flush=True)
        while True:
            connection, _ = door.accept()
            threading.Thread(target=Line(connection, contents).serve, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
