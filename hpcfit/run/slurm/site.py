"""What is particular to one cluster?  A site file (TOML): what to ask SLURM for, and what its nodes have.

`--site NAME` finds NAME.toml beside the fit file, in the folders of HPCFIT_SITES, in ~/.config/hpcfit/sites, or among
those that hpcfit brings (the folder slurm/ of a checkout); `--site PATH` reads that file.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from hpcfit.config import Settings, read_toml, validate
from hpcfit.errors import ConfigError
from hpcfit.run.slurm.times import seconds

SHIPPED = Path(__file__).parent / "shipped"
"""In a checkout a link to its folder slurm/; in an installed package a folder with the same files."""

Count = Annotated[int, Field(ge=1)]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of text; to leave it out remove the key")
    return text


def _as_time(text: str) -> str:
    try:
        seconds(text)
    except ConfigError as error:
        raise ValueError(str(error).partition(": ")[2]) from None
    return text


Word = Annotated[str, AfterValidator(_one_line)]
Time = Annotated[str, AfterValidator(_as_time)]


class LimitSettings(Settings):
    """What a quality of service allows, where that is less than the site as a whole."""

    nodes_most: Count | None = None
    time_most: Time | None = None
    array_most: Count | None = None
    queued_most: Count | None = None


class Site(Settings):
    """A cluster, or one kind of its nodes."""

    name: Word
    about: str = ""
    """A line for people: which machine, as of when."""

    partition: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    account: Word | None = None
    account_ends: Word | None = None
    """How the accounts end that these nodes are charged to; another is an error before it is queued."""
    time: Time | None = None
    """Of a job for which --time says nothing; none: the partition's."""
    options: tuple[Word, ...] = ()
    """More of sbatch's options, each a whole one: "--reservation=x", "--licenses=scratch"."""

    nodes_most: Count | None = None
    time_most: Time | None = None
    array_most: Count | None = None
    """Tasks of one array; more are split.  SLURM's own limit, MaxArraySize, is asked of it."""
    queued_most: Count | None = None
    """Tasks of an array that may be in the queue at once, where users have such a limit; the rest is left for later."""
    limits: dict[str, LimitSettings] = Field(default_factory=dict)
    """By quality of service."""

    cores_per_node: Count
    threads_per_core: Count = 1
    """Hardware threads that SLURM counts as CPUs."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """Asked for; every rank of a node sees all of them."""
    memory_GiB: Annotated[float, Field(gt=0)] | None = None
    """Asked for on each node; none: what the partition gives."""
    whole_nodes: bool = True
    """Ask for nodes that no other job shares."""
    ranks_per_node: Count = 1
    """One for each node or socket is best: the threads of a rank share one kernel."""

    mpi: Word | None = None
    """Of srun --mpi=; none: the cluster's default."""
    modules: tuple[Word, ...] = ()
    """Loaded in the job, in this order."""
    environment: Word | None = None
    """What the job's commands are prefixed with: the name of a wrapper in a checkout's envs/, or a path, which starts
    at the site file.  None, or a name where there is no checkout: the Python that submits."""
    environment_around: Literal["job", "rank"] = "job"
    """job: prefixes srun, once; rank: what srun starts, on every rank, as containers must be."""

    scratch: Word | None = None
    """A folder that all nodes see, for caches; may hold $VARIABLES."""
    purge_days: Count | None = None
    """Files of scratch that were not touched for so long are removed."""
    local_scratch: Word | None = None
    """A folder on each node's own disk, for temporary files; may hold $VARIABLES."""

    on_end: Literal["requeue", "chain", "none"] = "requeue"
    """How a job that stopped before its end goes on: the same job again, a new one after it, or not by itself."""
    lead_s: Count = 120
    """So long before the time limit the ranks get a signal to write and stop."""
    restarts_most: Annotated[int, Field(ge=0)] = 50
    """So often a run is started again by itself."""

    @model_validator(mode="after")
    def _consistent(self) -> "Site":
        if self.ranks_per_node > self.cores_per_node:
            raise ValueError(
                f"ranks_per_node = {self.ranks_per_node} is more than cores_per_node = {self.cores_per_node}; "
                f"give at most {self.cores_per_node}"
            )
        if self.time is not None and seconds(self.time) <= self.lead_s:
            raise ValueError(f"lead_s = {self.lead_s} is not less than time = {self.time}; give more time or less lead")
        return self

    @property
    def cpus_per_rank(self) -> int:
        """As SLURM counts them."""
        return self.cores_per_rank * self.threads_per_core

    @property
    def cores_per_rank(self) -> int:
        """Whole ones."""
        return self.cores_per_node // self.ranks_per_node

    def limit(self, key: str) -> Any:
        """nodes_most, time_most, array_most or queued_most: that of the quality of service, else the site's."""
        own = self.limits.get(self.qos or "", LimitSettings())
        given = getattr(own, key)
        return getattr(self, key) if given is None else given


def load_site(name: str, beside: Path, changed: Mapping[str, Any] | None = None) -> tuple[Site, Path]:
    """The site of that name or path, and the file it came from.

    Parameters
    ----------
    name
        A name, or the path of a file (it has a / or ends in .toml).
    beside
        The folder of the fit file.
    changed
        Keys that the command line gives other values.

    Raises
    ------
    ConfigError
        When there is no such site, or its file is unusable.
    """
    path = Path(name) if "/" in name or name.endswith(".toml") else _found(name, beside)
    tables = read_toml(path)
    site = validate(Site, tables, path)  # an error of the file is the file's, whatever the command line says
    if changed:
        site = validate(Site, {**tables, **changed}, f"{path} with {_options(changed)}")
    return site, path.absolute()


def _options(changed: Mapping[str, Any]) -> str:
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in changed.items())


def site_folders(beside: Path) -> list[Path]:
    """Where sites are looked for by name, the first that has it first."""
    own = [Path(folder).expanduser() for folder in os.environ.get("HPCFIT_SITES", "").split(os.pathsep) if folder]
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [beside, *own, config / "hpcfit" / "sites", SHIPPED]


def _found(name: str, beside: Path) -> Path:
    folders = site_folders(beside)
    for folder in folders:
        if (path := folder / f"{name}.toml").is_file():
            return path
    own = (path for folder in folders[1:] for path in folder.glob("*.toml"))  # not those beside: they are fit files
    known = sorted({path.stem for path in own})
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"--site {name}: there is no {name}.toml beside the fit file, in HPCFIT_SITES, in ~/.config/hpcfit/sites or "
        f"among hpcfit's own{hint} (known: {', '.join(known)})"
    )
