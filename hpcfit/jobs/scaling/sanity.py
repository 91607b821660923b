"""Did every launch compute the same?  The numbers of a generation depend on the fit alone, never on the ranks."""

from collections.abc import Sequence

from hpcfit.errors import EngineError
from hpcfit.jobs.scaling.raw import Generation, Launch


def check_same_numbers(launches: Sequence[Launch]) -> None:
    """Generations of the same fit are alike bit for bit, on however many ranks.

    Raises
    ------
    EngineError
        When two differ: which, and on which hosts.
    """
    first: dict[tuple[object, ...], tuple[Launch, Generation]] = {}
    for launch in launches:
        for generation in launch.generations:
            key = (*launch.point.problem, generation.number)
            other, one = first.setdefault(key, (launch, generation))
            if one.hash != generation.hash:
                raise EngineError(
                    f"generation {generation.number} has other numbers on {launch.point.ranks} ranks "
                    f"({_hosts(launch)}) than on {other.point.ranks} ({_hosts(other)}): best score {generation.best!r} "
                    f"and {one.best!r}; processors of different kinds round differently, else this is an error of "
                    "hpcfit: timings of different work say nothing about scaling"
                )


def best_scores(launches: Sequence[Launch]) -> dict[tuple[int, int, int], tuple[int, float, str]]:
    """By fit: how many generations the longest launch has, its best score, and the hash of its last generation."""
    found: dict[tuple[int, int, int], tuple[int, float, str]] = {}
    for launch in launches:
        if launch.generations and len(launch.generations) > found.get(launch.point.problem, (0,))[0]:
            last = launch.generations[-1]
            found[launch.point.problem] = (len(launch.generations), last.best, last.hash)
    return found


def _hosts(launch: Launch) -> str:
    return ", ".join(sorted(set(launch.hosts.values()))) or "unknown host"
