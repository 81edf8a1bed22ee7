"""A view for a moment: ``python -m anvcs_tools.mounting.passing COMMON_DIR COMMIT DIR``.

Mounts a view of one commit at DIR and says ``ready`` on standard output, or in one line why not.  When
its standard input ends, because whoever started it wants that or has died, the view goes with all that
it had.  This is how guards get a place to run in (`anvcs.guarding`), also from a process that may not fork.
"""

import os
import sys
from pathlib import Path

from anvcs.errors import AnvcsError
from anvcs.forgetting import forget_view
from anvcs.git import admin
from anvcs.guard_places import VIEW_PREFIX, clear_folder, end_commands, held
from anvcs.model.ids import Oid
from anvcs.repository import Repository
from anvcs_tools.mounting.places import check_fuse
from anvcs_tools.mounting.serving import Server
from anvcs_tools.mounting.unmounting import detach, wait_for_end


def main(common_dir: Path, commit: Oid, place: Path) -> int:
    """Show *commit* at *place* until standard input ends."""
    try:
        check_fuse(allow_other=False)
        server = Server.start()  # before anything else: it forks
        with held(place.parent):
            name = _mount(server, Repository.open(common_dir), commit, place)
            _wait()
            _unmount(Repository.open(common_dir), name, place)
    except (AnvcsError, OSError) as error:
        print(str(error).replace("\n", " "), flush=True)
        return 1
    clear_folder(place.parent)  # who started us may have been killed
    return 0


def _wait() -> None:
    """Until nobody needs the view any more."""
    print("ready", flush=True)
    while os.read(0, 1 << 12):
        continue


def _mount(server: Server, repository: Repository, commit: Oid, place: Path) -> str:
    try:
        stream = next(iter(repository.refs.list("refs/heads/"))).removeprefix("refs/heads/")
        with repository.views.lock():
            spec = repository.ensure_view(
                None, name=f"{VIEW_PREFIX}{os.getpid()}", mountpoint=place, stream=stream, agent="", model="",
                uid=os.getuid(), gid=os.getgid(), read_only=False, follow="live", options={},
            )  # fmt: skip
            admin.set_head(spec.folder / "git", admin.Detached(commit), "a merge to be tested")
            server.serve(spec)
    except BaseException:
        server.cancel()
        raise
    os.statvfs(place)
    return spec.name


def _unmount(repository: Repository, name: str, place: Path) -> None:
    end_commands(place.parent)
    process = repository.views.process(name)
    detach(place)
    if process is not None:
        wait_for_end(process)
    forget_view(repository, name, force=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Oid(bytes.fromhex(sys.argv[2])), Path(sys.argv[3])))
