"""Starting the process that serves a view, and waiting until it answers.

The child is forked before the checks: it imports the file system, half a second of
work, while the parent looks at the repository.  It learns through one pipe what to
serve and tells through another how that went.  Both ends see a death as end of file.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from anvcs.errors import AnvcsError
from anvcs.store import Store
from anvcs.views import Views, ViewSpec
from anvcs_tools.exit_codes import CANNOT_MOUNT, exit_code
from anvcs_tools.waiting import is_readable

PATIENCE_S = 60.0
"""A server that is not ready by then has hung."""
_LOG_BYTES = 1 << 20
_READY = b"ready"


class ServerFailed(AnvcsError):
    """The serving process could not mount the view; its reason is in the text."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code


def _load_server() -> Callable[[ViewSpec, Callable[[], None]], int]:
    from anvcsfs import server  # trio and pyfuse3: half a second

    return server.serve


def serve_here(spec: ViewSpec) -> int:
    """Serve in this process until the view is unmounted."""
    views = Views(Store(spec.common_dir))
    serve = _load_server()
    views.claim(spec.name)
    try:
        return serve(spec, lambda: None)
    finally:
        views.release(spec.name)


class Server:
    """The parent's handle on a serving process that is being started."""

    def __init__(self, pid: int, orders: int, answers: int) -> None:
        self.pid = pid
        self._orders = orders
        self._answers = answers

    @classmethod
    def start(cls) -> "Server":
        """Fork a process that gets ready to serve some view."""
        orders, give_orders = os.pipe()
        answers, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(give_orders)
            os.close(answers)
            _child(orders, answer)
        os.close(orders)
        os.close(answer)
        return cls(pid, give_orders, answers)

    def serve(self, spec: ViewSpec) -> None:
        """Have it serve *spec*; returns when the mount answers, raises `ServerFailed` when it doesn't."""
        order = json.dumps([os.fspath(spec.common_dir), spec.name]).encode()
        try:
            os.write(self._orders, order)
        except BrokenPipeError:  # it died while importing; the other pipe says of what
            pass
        os.close(self._orders)
        self._orders = -1
        answer = self._answer()
        if answer != _READY:
            self.cancel()
            raise _failure(answer, spec.folder / "log")

    def cancel(self) -> None:
        """End a process that never came to serve."""
        if self._orders >= 0:
            os.close(self._orders)
            self._orders = -1
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        os.waitpid(self.pid, 0)

    def _answer(self) -> bytes:
        parts: list[bytes] = []
        while is_readable(self._answers, PATIENCE_S):
            part = os.read(self._answers, 1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
        return json.dumps({"message": f"the server was not ready after {PATIENCE_S:.0f} s"}).encode()


def _failure(answer: bytes, log: Path) -> ServerFailed:
    try:
        told: dict[str, Any] = json.loads(answer)
    except ValueError:
        return ServerFailed(f"the serving process died while mounting; see {log}", CANNOT_MOUNT)
    return ServerFailed(told["message"], told.get("exit_code", CANNOT_MOUNT))


def _child(orders: int, answer: int) -> NoReturn:
    """Run the serving process; never returns into the parent's stack."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")  # no directory is held busy by us
        _stdio(Path(os.devnull))
        code = _serve_order(orders, answer)
    except BaseException as error:  # noqa: BLE001  # whatever it is, the parent is waiting to hear it
        traceback.print_exc()  # to the view's log by now
        told = {"message": str(error) or type(error).__name__, "exit_code": _code_of(error)}
        try:
            os.write(answer, json.dumps(told).encode())
        except OSError:  # it was ready and the parent has gone: the log has it
            pass
    finally:
        sys.stderr.flush()
        os._exit(code)


def _code_of(error: BaseException) -> int:
    return exit_code(error) if isinstance(error, AnvcsError) else CANNOT_MOUNT


def _serve_order(orders: int, answer: int) -> int:
    serve = _load_server()
    order = os.read(orders, 1 << 16)
    os.close(orders)
    if not order:  # the parent's checks said no
        return 0
    common_dir, name = json.loads(order)
    views = Views(Store(Path(common_dir)))
    spec = views.load(name)
    log = spec.folder / "log"
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".old"))
    _stdio(log)

    def ready() -> None:
        os.write(answer, _READY)
        os.close(answer)

    views.claim(name)
    try:
        return serve(spec, ready)
    finally:
        views.release(name)


def _stdio(output: Path) -> None:
    """Detach from whoever started us: a caller that reads our output must see its end."""
    source = os.open(os.devnull, os.O_RDONLY)
    target = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(source, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    for descriptor in (source, target):
        if descriptor > 2:
            os.close(descriptor)
    # Line by line: a log that ends with the last full buffer says nothing about a crash.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - for good
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - for good
