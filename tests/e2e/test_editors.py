"""Editors' ways of saving: each keeps a file's content, mode and identity, and leaves nothing behind."""

import os
import stat

import pytest

from support.fixtures import Twins
from support.programs import git, needs, run

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]

SETTINGS = [
    f"set backupcopy={copy} {backup} {writebackup} {fsync}"
    for copy in ("yes", "no", "auto", "breakhardlink")
    for backup, writebackup in (("backup", "writebackup"), ("nobackup", "writebackup"), ("nobackup", "nowritebackup"))
    for fsync in ("fsync",)
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_vim(shared_twins: Twins, settings):
    needs("vim")
    name = f"project/{'app.py' if 'auto' in settings else 'notes.txt'}"
    before = os.stat(shared_twins.view.path / name).st_mode
    for number in range(2):
        shared_twins.same(
            lambda top, number=number: run(
                "vim", "-es", "-u", "NONE", "-i", "NONE",
                "-c", settings, "-c", f"3s/^/vim {number} /", "-c", "$put ='last'", "-c", "wq", name, cwd=top,
            ).code
        )  # fmt: skip
    shared_twins.compare("project")
    assert "vim 1 vim 0" in (shared_twins.view.path / name).read_text()
    assert os.stat(shared_twins.view.path / name).st_mode == before
    shared_twins.same(lambda top: git("status", "--porcelain", "--", "project", cwd=top))
    shared_twins.same(lambda top: git("diff", "--", name, cwd=top))
    shared_twins.same(lambda top: git("checkout", "-q", "--", "project", cwd=top))
    shared_twins.same(lambda top: git("clean", "-fdq", "--", "project", cwd=top))
    shared_twins.compare("project")


def test_vim_with_a_swap_file_and_undo(shared_twins: Twins):
    needs("vim")
    command = ["vim", "-es", "-u", "NONE", "-i", "NONE", "-c", "set swapfile undofile undodir=. directory=."]
    shared_twins.same(
        lambda top: run(*command, "-c", "%s/line/row/", "-c", "wq", "notes.txt", cwd=top / "project").code
    )
    assert (shared_twins.view.path / "project" / "notes.txt").read_text().startswith("row 1")
    shared_twins.same(lambda top: sorted(os.listdir(top / "project")))
    shared_twins.same(lambda top: git("checkout", "-q", "--", "project", cwd=top))
    shared_twins.same(lambda top: git("clean", "-fdq", "--", "project", cwd=top))


def test_vim_saves_a_program_and_through_a_link(shared_twins: Twins):
    needs("vim")
    for name in ("run.sh", "link"):
        shared_twins.same(
            lambda top, name=name: (
                run(
                    "vim",
                    "-es",
                    "-u",
                    "NONE",
                    "-i",
                    "NONE",
                    "-c",
                    "$put ='# last'",
                    "-c",
                    "wq",
                    name,
                    cwd=top / "project",
                ).code
            )
        )
    shared_twins.compare("project")
    view = shared_twins.view.path / "project"
    assert stat.S_IMODE(os.stat(view / "run.sh").st_mode) == 0o755
    assert os.readlink(view / "link") == "app.py"
    shared_twins.same(lambda top: git("checkout", "-q", "--", "project", cwd=top))


def backup_and_rename(path):
    """As many editors save: the old file becomes a backup, a new one takes its name."""
    text = path.read_bytes()
    os.rename(path, f"{path}~")
    path.write_bytes(b"# saved by backup and rename\n" + text)
    os.unlink(f"{path}~")


def temporary_and_rename(path):
    text = path.read_bytes()
    temporary = path.with_name(f".{path.name}.swp-1234")
    with open(temporary, "wb") as file:
        file.write(b"# saved by temporary and rename\n" + text)
        os.fchmod(file.fileno(), stat.S_IMODE(os.stat(path).st_mode))
        os.fsync(file.fileno())
    os.rename(temporary, path)


def truncate_and_write(path):
    text = path.read_bytes()
    with open(path, "wb") as file:
        file.write(b"# saved in place\n" + text)


def unlink_and_create(path):
    text = path.read_bytes()
    mode = stat.S_IMODE(os.stat(path).st_mode)
    os.unlink(path)
    path.write_bytes(b"# saved by unlink and create\n" + text)
    os.chmod(path, mode)


def exchange(path):
    from support.kernel import RENAME_EXCHANGE, rename

    text = path.read_bytes()
    temporary = path.with_name("aside")
    temporary.write_bytes(b"# saved by exchange\n" + text)
    os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
    rename(temporary, path, RENAME_EXCHANGE)
    os.unlink(temporary)


SAVES = [backup_and_rename, temporary_and_rename, truncate_and_write, unlink_and_create, exchange]


@pytest.mark.parametrize("save", SAVES)
@pytest.mark.parametrize("name", ["app.py", "run.sh", "binary.dat", "crlf.txt"])
def test_a_save_is_an_edit(shared_twins: Twins, save, name):
    """Git sees a modification (never a delete and an add), with the old mode, and undoing it leaves nothing."""
    shared_twins.same(lambda top: save(top / "project" / name))
    shared_twins.compare("project")
    told = shared_twins.same(lambda top: git("status", "--porcelain", "--", "project", cwd=top))
    assert told == f" M project/{name}"
    shared_twins.same(lambda top: git("checkout", "-q", "--", "project", cwd=top))
    shared_twins.compare("project")
    assert shared_twins.same(lambda top: git("status", "--porcelain", "--", "project", cwd=top)) == ""


@pytest.mark.parametrize("save", SAVES)
def test_saving_the_old_content_again_is_clean(shared_twins: Twins, save):
    path = shared_twins.view.path / "project" / "app.py"
    before = path.read_bytes()
    save(path)
    path.write_bytes(before)
    assert git("status", "--porcelain", "--", "project", cwd=shared_twins.view.path) == ""
