"""In what pieces does a population pass through simulation and scoring?  Portions of individuals x groups of stimuli.

A portion is as large as memory allows; a group is one stimulus, as in Figure 1D of Ladd et al. 2021, or several where
one would leave simulators without work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hpcfit.biophys.engines.interface import AIM, Engine, cores, portions
from hpcfit.biophys.engines.memory import memory_limit

BLOCK = 8
"""Individuals whose responses to a stimulus a worker process scores at a time."""
_ROUNDS = 4
"""A simulator gets a new piece of work at least so often in a unit, so that few of them wait for the last one."""


@dataclass(frozen=True)
class Unit:
    """Individuals (rows of the population) under some stimuli: what is simulated in one call, then scored."""

    portion: int
    rows: slice
    stimuli: tuple[str, ...]

    @property
    def text(self) -> str:
        """The stimuli, for people."""
        return "+".join(self.stimuli)


def units(
    engine: Engine,
    population: int,
    stimuli: Sequence[str],
    in_flight: int,
    seconds: Mapping[tuple[str, ...], tuple[float, float]] | None = None,
) -> list[Unit]:
    """The whole population under all stimuli, in units of which `in_flight` fit into memory.

    seconds: what simulating and scoring a group took the last time; puts the groups of a portion in the order in which
    two stages that follow each other are done first (Johnson 1954, Naval Research Logistics Quarterly 1:61).

    Raises
    ------
    EngineError
        When not even one individual's responses fit into memory.
    """
    number = len(portions(engine, population, stimuli))
    size, groups = _portion(engine, population, stimuli, number)
    while size > 1 and not _fits(engine, size, groups, population, in_flight):
        number += 1
        size, groups = _portion(engine, population, stimuli, number)
    groups = _johnson(groups, seconds or {})
    starts = range(0, population, size)
    return [
        Unit(portion, slice(start, min(start + size, population)), group)
        for portion, start in enumerate(starts)
        for group in groups
    ]


def _portion(engine: Engine, population: int, stimuli: Sequence[str], number: int) -> tuple[int, list[tuple[str, ...]]]:
    """Individuals in each of so many portions, and the groups of stimuli that keep the simulators busy with them."""
    size = -(-population // number)
    wanted = _ROUNDS * cores(engine.settings) * max(engine.at_once, BLOCK)
    count = max(1, len(stimuli) // max(1, -(-wanted // size)))
    bounds = [round(k * len(stimuli) / count) for k in range(count + 1)]
    return size, [tuple(stimuli[low:high]) for low, high in pairwise(bounds)]


def _fits(engine: Engine, size: int, groups: Sequence[tuple[str, ...]], population: int, in_flight: int) -> bool:
    """Do the largest units that may exist at once?  Only one of them is being simulated."""
    needed = [engine.memory(size, group) for group in groups]
    # The same group comes back in the next portion.
    copies = min(-(-in_flight // len(groups)), -(-population // size))
    results = sorted((one.results for one in needed for _ in range(copies)), reverse=True)[:in_flight]
    making = max(one.parameters + one.work for one in needed)
    limit = memory_limit(engine.settings.memory_GiB)
    aim = limit if engine.settings.memory_GiB is not None else AIM * limit
    return sum(results) + making <= aim


def _johnson(
    groups: Sequence[tuple[str, ...]], seconds: Mapping[tuple[str, ...], tuple[float, float]]
) -> list[tuple[str, ...]]:
    """Those that are scored longer than simulated, the quickest simulated first; then the quickest scored last."""
    if not all(group in seconds for group in groups):
        return list(groups)
    early = [group for group in groups if seconds[group][0] < seconds[group][1]]
    late = [group for group in groups if group not in early]
    return [*sorted(early, key=lambda g: seconds[g][0]), *sorted(late, key=lambda g: -seconds[g][1])]
