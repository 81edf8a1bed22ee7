"""Whole ecosystems at work in a view: virtual environments, pip, pytest, npm, SQLite.  No network."""

import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.fixtures import Twins
from support.programs import git, needs, run
from support.trees import snapshot

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """A small wheel, written by hand: building one needs a network or a build backend."""
    path = tmp_path_factory.mktemp("wheel") / "greeting-1.0-py3-none-any.whl"
    info = "greeting-1.0.dist-info"
    files = {
        "greeting/__init__.py": "def main():\n    print('greetings from a wheel')\n",
        "greeting/data.txt": "data\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def test_venv_and_pip(shared_twins: Twins, wheel: Path):
    needs("python3")
    if subprocess.run([sys.executable, "-m", "ensurepip", "--version"], check=False, capture_output=True).returncode:
        pytest.skip("this Python was installed without ensurepip")

    def work(top: Path):
        run(sys.executable, "-m", "venv", "--without-pip", ".venv", cwd=top).must()
        # The outer pip installs into the inner environment: the same writes, and none of pip's own unpacking twice.
        pip = run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            ".venv/bin/python",
            "install",
            "-q",
            "--no-index",
            str(wheel),
            cwd=top,
        )
        assert pip.code == 0, pip.errors
        told = run(".venv/bin/greet", cwd=top).must().output
        again = run(".venv/bin/python", "-c", "import greeting; print(greeting.__file__)", cwd=top).must().output
        return told, again, sorted(name for name in snapshot(top / ".venv") if b"__pycache__" not in name)

    told, *_ = shared_twins.same(work)
    assert told == "greetings from a wheel\n"
    assert git("status", "--porcelain", "-uall", cwd=shared_twins.view.path) == ""
    shared_twins.view.remount()
    assert run(".venv/bin/greet", cwd=shared_twins.view.path).must().output == told


@pytest.mark.slow
def test_venv_with_its_own_pip(shared_twins: Twins):
    shared_twins.same(lambda top: run(sys.executable, "-m", "venv", "own.local", cwd=top).must().code)
    shared_twins.same(lambda top: run("own.local/bin/python", "-m", "pip", "--version", cwd=top).must().code)
    shared_twins.same(lambda top: shutil.rmtree(top / "own.local"))


def test_pytest_inside(shared_twins: Twins):
    for _ in range(2):
        told = shared_twins.same(
            lambda top: run(
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "-c", os.devnull,
                "--no-header", "test_app.py", cwd=top / "project",
            ).output.splitlines()[0]
        )  # fmt: skip
        # The branch has a bug that one of the two tests finds.
        assert "F" in told
        assert "." in told
    status = git("status", "--porcelain", "-uall", "--", "project", cwd=shared_twins.view.path)
    assert status == ""


def test_bytecode_is_reused(shared_twins: Twins):
    """The stat data that Python stores in a .pyc must be stable, or each start compiles again."""
    env = {"PYTHONDONTWRITEBYTECODE": ""}
    command = [sys.executable, "-v", "-c", "import app"]
    run(*command, cwd=shared_twins.view.path / "project", env=env).must()
    told = run(*command, cwd=shared_twins.view.path / "project", env=env).must().errors
    assert "matches" in next(line for line in told.splitlines() if "app" in line and "matches" in line)


def test_npm(shared_twins: Twins):
    needs("npm", "node")

    def work(top: Path):
        package = top / "js" / "library"
        package.mkdir(parents=True)
        (package / "package.json").write_text(
            '{"name": "library", "version": "1.0.0", "main": "index.js", "bin": {"lib": "cli.js"}}'
        )
        (package / "index.js").write_text("module.exports = () => 'from the library';\n")
        (package / "cli.js").write_text("#!/usr/bin/env node\nconsole.log(require('./index.js')());\n")
        (top / "js" / "package.json").write_text(
            '{"name": "app", "version": "1.0.0", "dependencies": {"library": "file:./library"}}'
        )
        quiet = [
            "--offline",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            f"--cache={top.parent / ('npm-' + top.name)}",
        ]
        run("npm", "install", "--install-links", *quiet, cwd=top / "js").must()
        assert (
            run("node", "-e", "console.log(require('library')())", cwd=top / "js").must().output == "from the library\n"
        )
        told = run("node_modules/.bin/lib", cwd=top / "js").must().output
        run("npm", "uninstall", "library", *quiet, cwd=top / "js").must()
        run("npm", "install", "--install-links", "./library", *quiet, cwd=top / "js").must()
        return told, sorted(name for name in snapshot(top / "js") if not name.endswith(b".package-lock.json"))

    told, _ = shared_twins.same(work)
    assert told == "from the library\n"
    listed = shared_twins.same(lambda top: git("status", "--porcelain", "-uall", "--", "js", cwd=top))
    assert "node_modules" not in listed
    assert "js/package-lock.json" in listed


WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
for number in range(100):
    with db:
        db.execute("insert into t values (?, ?)", (sys.argv[2], number))
db.close()
"""


@pytest.mark.parametrize("name", ["data.sqlite3", "project/shared.db"])
def test_sqlite_in_wal_mode(shared_twins: Twins, name):
    """Two writers and a reader, with the shared memory of WAL; in a local file and in a shared one."""
    for top in (shared_twins.native, shared_twins.view.path):
        path = top / name
        db = sqlite3.connect(path)
        assert db.execute("pragma journal_mode=wal").fetchone() == ("wal",)
        db.execute("create table t (who, n)")
        writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), who]) for who in ("a", "b")]
        assert [writer.wait(60) for writer in writers] == [0, 0]
        assert db.execute("select who, count(*) from t group by who order by who").fetchall() == [
            ("a", 100),
            ("b", 100),
        ]
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.execute("vacuum")
        db.close()
    if name == "data.sqlite3":
        view = shared_twins.view
        view.kill()
        view.remount()
        with sqlite3.connect(view.path / name) as db:
            assert db.execute("select count(*) from t").fetchone() == (200,)
        db.close()


def test_sqlite_command(shared_twins: Twins):
    needs("sqlite3")
    sql = "pragma journal_mode=wal; create table x(a); insert into x values (1),(2); select sum(a) from x;"
    assert shared_twins.same(lambda top: run("sqlite3", "tool.sqlite", sql, cwd=top).must().output) == "wal\n3\n"


def test_cargo_like_target_folder(shared_twins: Twins):
    """Deep, hard-linked, rewritten in place, and locked: what a compiler's cache does."""

    def work(top: Path):
        target = top / "build" / "debug"
        (target / "deps").mkdir(parents=True)
        (target / "incremental" / "s-abc-working").mkdir(parents=True)
        for number in range(200):
            (target / "deps" / f"lib{number}.rlib").write_bytes(bytes(number) * 100)
        os.link(target / "deps" / "lib7.rlib", target / "lib7.rlib")
        os.rename(target / "incremental" / "s-abc-working", target / "incremental" / "s-abc-def")
        os.symlink("deps", target / "latest")
        shutil.rmtree(target / "incremental")
        return os.stat(target / "lib7.rlib").st_nlink

    assert shared_twins.same(work) == 2
    shared_twins.compare("build")
    shared_twins.same(lambda top: shutil.rmtree(top / "build"))
