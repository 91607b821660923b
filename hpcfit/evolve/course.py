"""A strategy as the generation loop drives it: what it remembers is read from, and written to, the ledger's arrays."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from hpcfit.evolve.strategy import Offspring, Strategy
from hpcfit.population.ledger import Generation
from hpcfit.population.loop import Evaluation

Objectives = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""(n, M) objectives from the arrays of an evaluation."""


class StrategyCourse:
    """Keeps a strategy's state in the ledger: each of its arrays as survivor_NAME."""

    def __init__(self, strategy: Strategy[Any], objectives: Objectives | None = None) -> None:
        """`objectives`: for strategies that see more than the score."""
        self._strategy = strategy
        self._objectives = objectives

    def offspring(self, last: Generation | None) -> dict[str, np.ndarray]:
        """See Course.offspring."""
        made = self._strategy.ask(self._state(last))
        return {"ids": made.ids, "vectors": made.vectors, "parents": made.parents, "operators": made.operator}

    def survivors(
        self, last: Generation | None, offspring: Mapping[str, np.ndarray], evaluation: Evaluation
    ) -> dict[str, np.ndarray]:
        """See Course.survivors."""
        number = 0 if last is None else last.number + 1
        made = Offspring(number, *(offspring[name] for name in ("ids", "vectors", "parents", "operators")))
        scores = evaluation.scores if self._objectives is None else self._objectives(evaluation.arrays)
        left = self._strategy.tell(self._state(last), made, scores)
        return {f"survivor_{name}": getattr(left, name) for name in state_arrays(type(left))}

    def _state(self, last: Generation | None) -> Any | None:
        if last is None:
            return None
        state = self._strategy.state
        return state(last.number, **{name: last.arrays[f"survivor_{name}"] for name in state_arrays(state)})


def state_arrays(state: type) -> list[str]:
    """The names of the arrays that a strategy's state consists of."""
    return [one.name for one in fields(state) if one.name != "generation"]
