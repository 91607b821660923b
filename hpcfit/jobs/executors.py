"""Where do the ranks of a run come from?  What a user may choose, and the link to them."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hpcfit.errors import ConfigError, EngineError
from hpcfit.jobs import sharing
from hpcfit.jobs.load import load_settings
from hpcfit.run.comm import Link
from hpcfit.run.driver import dismiss
from hpcfit.run.mpi import launched_ranks
from hpcfit.run.processes import available_cores
from hpcfit.run.slurm.array import SlurmArray, inside_job, refusals
from hpcfit.run.slurm.script import wrapper_of
from hpcfit.run.slurm.site import load_site
from hpcfit.run.team.children import Children
from hpcfit.run.team.folder import FolderHub
from hpcfit.run.team.sockets import SocketHub
from hpcfit.run.team.team import Team

EXECUTORS = ("serial", "processes", "mpi", "array", "submitit", "ray")
FIT = "hpcfit.jobs.sharing:serve_seat"
"""What workers of a fit do; see run/team/seat.py."""
_PLACE = "workers"
"""In the run folder: what ranks that share only a file system say to each other."""
_MAY_TAKE = {
    "serial": (),
    "processes": ("workers",),
    "mpi": (),
    "array": ("workers", "site"),
    "submitit": ("workers", "site"),
    "ray": ("workers",),
}
_MUST_TAKE = {"array": ("workers", "site"), "submitit": ("workers",)}


@dataclass(frozen=True)
class Choice:
    """Nothing of it touches a number of a run.

    Attributes
    ----------
    executor
        One of EXECUTORS; None: MPI where a launcher has started several of this program, else serial.
    workers
        Ranks beside rank 0; None where the executor finds a number itself.
    site
        Name or path of a site file.
    """

    executor: str | None = None
    workers: int | None = None
    site: str | None = None

    def check(self) -> None:
        """Raises ConfigError when its parts do not fit together, naming the options of the command line."""
        given = {name: getattr(self, name) for name in ("workers", "site") if getattr(self, name) is not None}
        if self.executor is None:
            if given:
                raise ConfigError(f"--{next(iter(given))} needs --executor; one of {', '.join(EXECUTORS)}")
            return
        if self.executor not in EXECUTORS:
            raise ConfigError(f"--executor {self.executor}: must be one of {', '.join(EXECUTORS)}")
        for name in given:
            if name not in _MAY_TAKE[self.executor]:
                why = {"mpi": "; the launcher says how many ranks there are", "serial": "; it has none"}
                cure = why.get(self.executor, "") if name == "workers" else ""
                raise ConfigError(f"--executor {self.executor} takes no --{name}{cure}")
        for name in _MUST_TAKE.get(self.executor, ()):
            if name not in given:
                raise ConfigError(f"--executor {self.executor} needs --{name}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: must be at least 1; for one rank say --executor serial")
        launched = launched_ranks()
        if self.executor not in ("mpi", "serial") and launched > 1:
            raise ConfigError(
                f"--executor {self.executor}: a launcher has started {launched} of this program, and each would call "
                "workers of its own; start one (srun --ntasks=1), or say --executor mpi"
            )


def chosen(executor: str | None, mpi: bool | None, workers: int | None, site: str | None) -> Choice:
    """What the command line says; --mpi is short for --executor mpi, --no-mpi for --executor serial.

    Raises
    ------
    ConfigError
        When it contradicts itself.
    """
    meant = {None: None, True: "mpi", False: "serial"}[mpi]
    if meant and executor and meant != executor:
        raise ConfigError(f"--executor {executor} contradicts {'--mpi' if mpi else '--no-mpi'}; say one of them")
    choice = Choice(executor or meant, workers, site)
    choice.check()
    return choice


@contextmanager
def ranks(
    choice: Choice, fit: Path, folder: Path | None, say: Callable[[str], Any], entry: str = FIT
) -> Iterator[Link | None]:
    """The ranks of a run, seen by this one, or None where there is no other.  At the end rank 0 sends the others home.

    Workers are called when the first work is dealt, so nothing is started or queued for a run that cannot begin.

    fit, folder: of the run (None: runs/NAME); say: told who comes and goes.

    Raises
    ------
    ConfigError
        When the choice does not fit together, or its site is unusable.
    EngineError, SchedulerError
        When what the executor needs is not here: the cure.
    """
    choice.check()
    if choice.executor in (None, "serial", "mpi"):
        with sharing.ranks({None: None, "serial": False, "mpi": True}[choice.executor]) as comm:
            yield comm
        return
    run = folder or Path("runs") / load_settings(fit).name
    try:
        with _team(choice, fit, run, say, entry) as team:
            try:
                yield team
            finally:
                dismiss(team)
    finally:
        with suppress(OSError):  # it was never made
            (run / _PLACE).rmdir()


def _team(choice: Choice, fit: Path, run: Path, say: Callable[[str], Any], entry: str) -> Team:
    cores = available_cores()
    if choice.executor == "processes":
        workers = choice.workers or max(1, cores - 1)
        each = max(1, cores // (workers + 1))
        return Team(SocketHub(), Children(entry, workers + 1, each), workers, each, workers + 1, say)
    if choice.executor == "ray":
        ray = import_module("hpcfit.run.ray").RayTeam(entry, choice.workers)
        return Team(ray, ray, ray.workers, max(1, cores // ray.here), ray.here, say)
    assert choice.workers is not None
    name, place = run.name, run.absolute() / _PLACE / uuid.uuid4().hex[:12]
    share = (max(1, cores // (choice.workers + 1)), choice.workers + 1)
    hub = FolderHub(place, entry, choice.workers, share if choice.site is None else None)
    site, site_file = load_site(choice.site, fit.resolve().parent) if choice.site else (None, Path())
    if site is not None and (why := next(refusals(site, choice.workers), "")):
        raise ConfigError(f"{site_file}: {why}")
    if choice.executor == "array":
        assert site is not None
        launcher: Any = SlurmArray(site, site_file, place, name)
    else:
        launcher = _submitit().Submitit(site, wrapper_of(site, site_file) if site else None, place, name)
    if site is None:  # all on this machine
        return Team(hub, launcher, choice.workers, *share, say)
    # A login node is everybody's: rank 0 keeps to one core there.
    return Team(hub, launcher, choice.workers, cores if inside_job() else 1, 1, say)


def _submitit() -> Any:
    try:
        return import_module("hpcfit.run.team.by_submitit")
    except ImportError as error:
        raise EngineError(f"submitit cannot be imported ({error}); pip install 'hpcfit[slurm]'") from None
