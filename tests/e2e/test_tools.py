"""Ordinary tools at work in a view, each result compared with the same work on a native directory."""

import os
import shutil

import pytest

from support.fixtures import Twins
from support.programs import git, needs, run, shell
from support.trees import assert_same_tree

pytestmark = [pytest.mark.fuse, pytest.mark.e2e]


@pytest.fixture
def work(shared_twins: Twins, request) -> str:
    """Name of a directory at both places that holds a copy of the project, made by cp -a there."""
    name = f"work/{request.node.name.partition('[')[0]}-{abs(hash(request.node.name)) % 9999}"
    for top in (shared_twins.native, shared_twins.view.path):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        run("cp", "-a", "project", name, cwd=top).must()
    return name


def both(twins: Twins, work: str, *command: str, **more):
    """Run a command in the work directory at both places; output and resulting trees must be the same."""
    ran = twins.same(lambda top: run(*command, cwd=top / work, **more))
    twins.compare(work)
    return ran.must()


def script(twins: Twins, work: str, text: str):
    return both(twins, work, "bash", "-e", "-c", text)


def test_the_repository_is_large_enough(shared_twins: Twins):
    listed = git("ls-files", cwd=shared_twins.native).splitlines()
    assert len(listed) >= 3000


@pytest.mark.parametrize("options", ["", "--follow-symlinks", "-s"])
def test_sed_in_place(shared_twins, work, options):
    script(shared_twins, work, f"sed -i {options} 's/line/LINE/' notes.txt crlf.txt unicode.txt link no-newline.txt")
    script(shared_twins, work, "sed -i.bak '1d' notes.txt && sed -i '$a\\added at the end' app.py main.c")


def test_perl_in_place(shared_twins, work):
    needs("perl")
    script(
        shared_twins,
        work,
        "perl -i -pe 's/value/worth/g' app.py test_app.py; perl -i.orig -ne 'print unless /line 3/' notes.txt",
    )


def test_ed_style_and_shell_redirections(shared_twins, work):
    script(
        shared_twins,
        work,
        "echo one > redirected; echo two >> redirected; cat app.py >> redirected; : > notes.txt;"
        " { echo a; echo b; } > group; cat < redirected | sort -o redirected; printf x | tee t1 t2 | cat >> t3; truncate -s 100 t1",
    )


def test_patch(shared_twins, work):
    change = shared_twins.native / work
    before = (change / "notes.txt").read_text()
    needs("patch", "diff")
    (change.parent / "new.txt").write_text(before.replace("line 20\n", "line twenty\nand a half\n"))
    made = run("diff", "-u", "notes.txt", "../new.txt", cwd=change).output
    os.unlink(change.parent / "new.txt")
    both(shared_twins, work, "patch", "-p0", "notes.txt", stdin=made)
    both(shared_twins, work, "patch", "-p0", "-R", "-b", "notes.txt", stdin=made)
    renamed = made.replace("+++ ../new.txt", "+++ b/notes.txt").replace("--- notes.txt", "--- a/notes.txt")
    both(shared_twins, work, "git", "apply", "-p1", "-", stdin=renamed)
    assert "line twenty" in (shared_twins.view.path / work / "notes.txt").read_text()


@pytest.mark.parametrize("options", ["-a", "-a --inplace", "-a --checksum --delete", "-aH --whole-file"])
def test_rsync(shared_twins, work, options, tmp_path):
    needs("rsync")
    source = tmp_path / "source"
    shutil.copytree(shared_twins.native / "project", source, symlinks=True)
    (source / "app.py").write_text("rsync brought this\n")
    (source / "extra").mkdir()
    (source / "extra" / "file.bin").write_bytes(os.urandom(100_000))
    for folder, names, files in os.walk(source, topdown=False):
        for name in [*names, *files, "."]:
            # In the past: rsync takes files of one size within one second for equal.
            os.utime(os.path.join(folder, name), ns=(10**18, 10**18 + 123_456_789), follow_symlinks=False)
    shared_twins.same(lambda top: run("rsync", *options.split(), f"{source}/", f"{top / work}/", cwd=top).must().code)
    shared_twins.compare(work, times=True)
    for top in (shared_twins.native, shared_twins.view.path):
        out = tmp_path / f"out-{top.name}"
        run("rsync", "-a", f"{top / work}/", str(out), cwd=tmp_path).must()
        assert_same_tree(shared_twins.native / work, out, times=True)
    # A second run finds nothing to do: sizes and times came back as they were set.
    again = shared_twins.same(lambda top: run("rsync", "-ai", f"{source}/", f"{top / work}/", cwd=top).must().output)
    assert again.replace(".d..t...... ./\n", "") == ""


def test_tar(shared_twins, work, tmp_path):
    for top in (shared_twins.native, shared_twins.view.path):
        run("tar", "cf", str(tmp_path / f"{top.name}.tar"), "--sort=name", "project", "odd", cwd=top).must()
    for top in (shared_twins.native, shared_twins.view.path):
        for source in ("native", "view"):
            (top / work / source).mkdir()
            run("tar", "xf", str(tmp_path / f"{source}.tar"), "-C", str(top / work / source), cwd=top).must()
    shared_twins.compare(work)
    assert_same_tree(shared_twins.native / "project", shared_twins.view.path / work / "view" / "project")
    assert_same_tree(shared_twins.native / "odd", shared_twins.view.path / work / "view" / "odd")


def test_zip_by_python(shared_twins, work, python):
    script(shared_twins, work, "touch -d @1000000000 app.py notes.txt")
    both(shared_twins, work, python, "-m", "zipfile", "-c", "made.zip", "app.py", "notes.txt")
    both(shared_twins, work, python, "-m", "zipfile", "-e", "made.zip", "out")


def test_make(shared_twins, work):
    needs("make", "cc")
    for _ in range(2):
        shared_twins.same(lambda top: run("make", cwd=top / work).must().output)
        assert shared_twins.same(lambda top: run("build/app", cwd=top / work).must().output) == "42\n"
    assert "Nothing to be done" in shared_twins.same(lambda top: run("make", cwd=top / work).must().output)
    shared_twins.same(
        lambda top: (top / work / "util.c").write_text('#include "util.h"\nint twice(int v) { return 3 * v; }\n')
    )
    shared_twins.same(lambda top: run("make", cwd=top / work).must().output)
    assert shared_twins.same(lambda top: run("build/app", cwd=top / work).must().output) == "63\n"
    both(shared_twins, work, "make", "clean")


def test_grep(shared_twins):
    options = ("-rn", "--exclude-dir=.git", "def main", ".")
    found = shared_twins.same(lambda top: sorted(run("grep", *options, cwd=top).must().output.splitlines()))
    assert len(found) > 20


def test_ripgrep(shared_twins):
    needs("rg")
    found = shared_twins.same(
        lambda top: sorted(run("rg", "-n", "--no-heading", "def main", ".", cwd=top).must().output.splitlines())
    )
    assert len(found) > 20


def test_find_and_du(shared_twins):
    query = "find . -path ./.git -prune -o -type f -size +40k -print | sort"
    assert shared_twins.same(lambda top: shell(query, top).must().output)
    shared_twins.same(lambda top: shell("find project -newer project/does-not-exist | wc -l", top).output)
    shared_twins.same(lambda top: shell("du -s --apparent-size -b project/notes.txt", top).must().output)


def test_diff_between_the_two(shared_twins):
    told = run(
        "diff", "-r", "--no-dereference", str(shared_twins.native / "project"), "project", cwd=shared_twins.view.path
    )
    assert (told.code, told.output) == (0, "")


def test_copies(shared_twins, work):
    script(
        shared_twins,
        work,
        "cp -a . ../copy-of-$$ && mv ../copy-of-$$ copied && cp -r copied/deep again && cp --reflink=auto app.py copied2",
    )
    script(
        shared_twins,
        work,
        'cp -l app.py hard && cp -s "$PWD/app.py" soft && rm soft && ln -sf notes.txt link && install -m 750 run.sh installed',
    )


def test_moves_of_directories(shared_twins, work):
    script(
        shared_twins,
        work,
        "mv deep shallow; mkdir -p a/b; mv shallow a/b/; mv a z; mv z/b/shallow/er/leaf.txt z/; rmdir z/b/shallow/er",
    )
    script(
        shared_twins,
        work,
        "mv app.py z/ && mv -n main.c z/leaf.txt; mv -b notes.txt crlf.txt; mv z ../moved-$$ && mv ../moved-$$ back",
    )


def test_moving_a_large_directory(shared_twins):
    shared_twins.same(lambda top: run("cp", "-a", "stdlib/idlelib", "work-idle", cwd=top).must().code)
    shared_twins.same(lambda top: run("mv", "work-idle", "work-moved", cwd=top).must().code)
    shared_twins.compare("work-moved")
    shared_twins.same(lambda top: run("mv", "stdlib/email", "work-email", cwd=top).must().code)
    shared_twins.compare("work-email")
    told = shared_twins.same(
        lambda top: git("status", "--porcelain", "-uall", "--", "work-email", "stdlib/email", cwd=top)
    )
    assert told.count(" D ") > 10
    shared_twins.same(lambda top: run("mv", "work-email", "stdlib/email", cwd=top).must().code)
    assert (
        shared_twins.same(lambda top: git("status", "--porcelain", "--", "work-email", "stdlib/email", cwd=top)) == ""
    )


def test_rm_rf(shared_twins, work):
    script(
        shared_twins,
        work,
        "rm -rf deep notes.txt; mkdir deep; cp -a . ../doomed-$$ && rm -rf ../doomed-$$",
    )
    shared_twins.same(lambda top: run("rm", "-rf", work, cwd=top).must().code)
    shared_twins.compare("work")
    shared_twins.same(lambda top: run("rm", "-rf", "stdlib/ctypes", cwd=top).must().code)
    assert not (shared_twins.view.path / "stdlib" / "ctypes").exists()
    shared_twins.same(lambda top: git("checkout", "-q", "--", "stdlib/ctypes", cwd=top))
    shared_twins.compare("stdlib/ctypes")


NODE = """
const fs = require('fs'), path = require('path');
fs.writeFileSync('node.txt', 'from node\\n');
fs.appendFileSync('node.txt', 'appended\\n');
fs.renameSync('node.txt', 'node2.txt');
fs.copyFileSync('node2.txt', 'node3.txt');
fs.mkdirSync('one/two/three', {recursive: true});
fs.writeFileSync('one/two/three/file', Buffer.from([0, 255, 1]));
fs.cpSync('one', 'uno', {recursive: true});
fs.rmSync('one', {recursive: true});
fs.symlinkSync('node2.txt', 'nodelink');
fs.truncateSync('node3.txt', 4);
fs.utimesSync('node3.txt', 1000, 2000);
const stream = fs.createWriteStream('streamed.txt', {flags: 'w'});
for (let i = 0; i < 1000; i++) stream.write(`line ${i}\\n`);
stream.end(() => {
  const temporary = fs.mkdtempSync('tmp-');
  fs.writeFileSync(path.join(temporary, 'x'), 'x');
  fs.renameSync(path.join(temporary, 'x'), 'notes.txt');
  fs.rmdirSync(temporary);
  console.log(fs.readdirSync('.').sort().join(' '), fs.readFileSync('node2.txt', 'utf8'));
});
"""


def test_node(shared_twins, work):
    needs("node")
    assert "from node" in both(shared_twins, work, "node", "-e", NODE).output


ATOMIC = """
import os, tempfile, shutil, pathlib, json, shelve
with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as file:
    file.write("written aside\\n")
os.replace(file.name, "notes.txt")
os.chmod("notes.txt", 0o644)
shutil.move("deep", "deeper")
shutil.copytree("deeper", "copied", symlinks=True)
shutil.rmtree("deeper")
pathlib.Path("config.json").write_text(json.dumps({"a": 1}))
with open("config.json", "r+") as file:
    data = json.load(file); data["b"] = 2; file.seek(0); json.dump(data, file); file.truncate()
with open("sparse.bin", "wb") as file:
    file.seek(1 << 20); file.write(b"end")
"""


def test_python_ways_of_writing(shared_twins, work, python):
    both(shared_twins, work, python, "-c", ATOMIC)


def test_sort_split_and_friends(shared_twins, work):
    script(
        shared_twins,
        work,
        "split -l 7 notes.txt part. && cat part.* > whole && cmp whole notes.txt && shuf --random-source=binary.dat notes.txt -o shuffled && dd if=binary.dat of=dd.out bs=100 seek=3 conv=notrunc 2>/dev/null && gzip -nk notes.txt && touch -d @1000 dd.out",
    )
