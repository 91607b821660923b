"""How do populations that evolve apart share what they find?  Islands with migration: Whitley et al. 1999.

Each island is a whole strategy with random numbers of its own.  Every few generations the best members that an island
remembers are copied to others, where they stand for survival (or are learnt from) together with the offspring of that
generation; what that means is each strategy's own, see its `tell`.  Who migrates follows from the generation before, so
that nothing but the ledger is needed to go on, and the offspring of all islands are evaluated at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np

from hpcfit.evolve.course import Objectives, state_arrays
from hpcfit.evolve.multi import RankedSurvivors
from hpcfit.evolve.operators import require_choice
from hpcfit.evolve.strategy import Migrants, Offspring, Strategy, ranking
from hpcfit.evolve.streams import draws
from hpcfit.population.ledger import Generation
from hpcfit.population.loop import Evaluation

Topology = Literal["ring", "random", "complete"]


@final
@dataclass(frozen=True, kw_only=True)
class Migration:
    """Who migrates, when and where to.

    Parameters
    ----------
    every : int
        Immigrants arrive in the generations every, 2 every, ...
    migrants : int
        How many members an island sends to each island that it sends to: its best, copied.
    topology : "ring", "random" or "complete"
        Each island sends to the next; to the next in a ring of random order, drawn anew every time; to all others.
    seed : int
        Of the run; for "random".

    Raises
    ------
    ValueError
        For numbers below 1, or an unknown topology.
    """

    every: int
    migrants: int
    topology: Topology = "ring"
    seed: int

    def __post_init__(self) -> None:
        require_choice("topology", self.topology, get_args(Topology))
        for name in ("every", "migrants"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)} is too small; give at least 1")

    def sources(self, generation: int, islands: int) -> list[list[int]]:
        """For each island those that send to it in this generation; all lists empty where nobody migrates."""
        if generation == 0 or generation % self.every:
            return [[] for _ in range(islands)]
        if self.topology == "complete":
            return [[other for other in range(islands) if other != island] for island in range(islands)]
        order = np.arange(islands)
        if self.topology == "random":
            order = np.argsort(draws(self.seed, generation, "migration", (islands,)), kind="stable")
        before = dict(zip(np.roll(order, -1).tolist(), order.tolist(), strict=True))
        return [[before[island]] if before[island] != island else [] for island in range(islands)]


class IslandCourse:
    """A `Course` of several strategies at once; their states are kept one after the other in the ledger's arrays.

    `island` (lambda,) says whose member each is; row k of `survivor_rows` how many rows of each array of the state are
    island k's, in the order of the state's fields.  Ids count through the run, island by island in each generation.
    """

    def __init__(
        self, strategies: Sequence[Strategy[Any]], migration: Migration, objectives: Objectives | None = None
    ) -> None:
        """`strategies`: one for each island, of the same kind.  `objectives`: as StrategyCourse."""
        self._strategies = strategies
        self._migration = migration
        self._objectives = objectives

    def offspring(self, last: Generation | None) -> dict[str, np.ndarray]:
        """See Course.offspring."""
        states = self._states(last)
        made = [strategy.ask(state) for strategy, state in zip(self._strategies, states, strict=True)]
        island = np.repeat(np.arange(len(made), dtype=np.int16), [len(one.ids) for one in made])
        first = 0 if last is None else int(last.arrays["ids"].max()) + 1
        return {
            "ids": first + np.arange(len(island), dtype=np.int64),
            "vectors": np.concatenate([one.vectors for one in made]),
            "parents": np.concatenate([one.parents for one in made]),
            "operators": np.concatenate([one.operator for one in made]),
            "island": island,
        }

    def survivors(
        self, last: Generation | None, offspring: Mapping[str, np.ndarray], evaluation: Evaluation
    ) -> dict[str, np.ndarray]:
        """See Course.survivors."""
        number = 0 if last is None else last.number + 1
        scores = evaluation.scores if self._objectives is None else self._objectives(evaluation.arrays)
        states = self._states(last)
        sources = self._migration.sources(number, len(states))
        left = []
        for island, (strategy, state) in enumerate(zip(self._strategies, states, strict=True)):
            rows = offspring["island"] == island
            made = Offspring(number, *(offspring[name][rows] for name in ("ids", "vectors", "parents", "operators")))
            immigrants = self._immigrants(state, [states[source] for source in sources[island]])
            left.append(strategy.tell(state, made, scores[rows], immigrants))
        names = state_arrays(type(left[0]))
        packed = {f"survivor_{name}": np.concatenate([getattr(one, name) for one in left]) for name in names}
        packed["survivor_rows"] = np.array([[len(getattr(one, name)) for name in names] for one in left])
        return packed

    def _immigrants(self, state: Any | None, sources: Sequence[Any]) -> Migrants | None:
        """From the islands in the states `sources` to the one in `state`; None where nobody comes."""
        if state is None or not sources:
            return None
        coming = [emigrants(source, self._migration.migrants) for source in sources]
        ids = np.concatenate([one.ids for one in coming])
        _, first = np.unique(ids, return_index=True)  # two islands may send the same one
        new = np.sort(first[~np.isin(ids[first], state.ids)])
        if not len(new):
            return None
        vectors = np.concatenate([one.vectors for one in coming])
        scores = np.concatenate([one.scores for one in coming])
        return Migrants(vectors[new], scores[new], ids[new])

    def _states(self, last: Generation | None) -> list[Any]:
        """One for each island."""
        if last is None:
            return [None] * len(self._strategies)
        names, ends = state_arrays(self._strategies[0].state), np.cumsum(last.arrays["survivor_rows"], axis=0)
        parts = {
            name: np.split(last.arrays[f"survivor_{name}"], ends[:-1, column]) for column, name in enumerate(names)
        }
        return [
            strategy.state(last.number, **{name: parts[name][island] for name in names})
            for island, strategy in enumerate(self._strategies)
        ]


def emigrants(state: Any, count: int) -> Migrants:
    """Copies of the best members that a strategy remembers, at most `count`; none whose scores are not finite.

    state: has ids, vectors and scores, or objectives, of which it keeps the best first.
    """
    if isinstance(state, RankedSurvivors):
        best, scores = np.arange(len(state.ids)), state.objectives
    else:
        best, scores = ranking(state.scores, state.ids), state.scores
    finite = np.all(np.isfinite(scores).reshape(len(scores), -1), axis=1)
    best = best[finite[best]][:count]
    return Migrants(state.vectors[best], scores[best], state.ids[best])
