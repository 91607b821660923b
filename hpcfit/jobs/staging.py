"""Put this environment on the disk of every node of a job: what `hpcfit stage` does."""

import os
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hpcfit.biophys.engines.mod_files import cache_folder
from hpcfit.run.slurm.stage import job_is_here, unpack_here, unpack_on_nodes
from hpcfit.run.staging import fingerprint, needed, pack

STAGED = "HPCFIT_STAGED"
"""What the wrappers in envs/ look at: they run commands in that environment."""


def stage(to: Path | None = None, more: Sequence[str] = ()) -> tuple[Path, int]:
    """Pack this environment, unless that has been done, and unpack it on each node of the job, or here.

    to: a folder that each node has for itself (default: TMPDIR, else /tmp); more: packages beside what hpcfit needs.
    Returns where it is and on how many nodes.

    Raises
    ------
    EngineError
        When this is no virtual environment, or a package is missing.
    SchedulerError, StorageError
        When it does not reach the nodes, or cannot be packed.
    """
    packages = needed(more).values()
    place = (to or Path(tempfile.gettempdir())).absolute() / f"hpcfit-{os.getuid()}" / fingerprint(packages)
    archive = cache_folder() / "staged" / f"{place.name}-{_short(place)}.tar"
    if not archive.exists():
        pack(packages, archive, place)
    if job_is_here():
        return place, unpack_on_nodes(archive, place)
    unpack_here(archive, place)
    return place, 1


def shell(place: Path) -> str:
    """For `eval`: what makes a shell, and the tasks it starts, use it."""
    return "\n".join(
        f"export {name}={value}"
        for name, value in (
            (STAGED, shlex.quote(str(place))),
            ("VIRTUAL_ENV", shlex.quote(str(place))),
            ("PATH", f'{shlex.quote(str(place / "bin"))}:"$PATH"'),
        )
    )


def _short(place: Path) -> str:
    """The archive is written for one place."""
    return place.parent.parent.name or "root"
