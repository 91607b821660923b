"""A run, finished or still going, as arrays: for notebooks, plots and reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.errors import LedgerError
from hpcfit.population.ledger import Generation, Ledger
from hpcfit.population.ranges import first_generation_ranges
from hpcfit.report.log import evaluations

Table = Mapping[str, np.ndarray]
"""Columns of equal length by name."""


@dataclass(frozen=True)
class Best:
    """The individual with the lowest score of all generations; of equals the first one made."""

    score: float
    """Sum of the contributions, in units of sd."""
    parameters: Mapping[str, float]
    """Value of each free parameter by name, in the units of `RunView.parameters["unit"]`."""
    vector: np.ndarray
    """(parameters,) place in the unit cube, as the strategy sees it."""
    id: int
    generation: int
    features: np.ndarray
    """(terms,) feature values in their own units; NaN where undefined."""
    contributions: np.ndarray
    """(terms,) weighted, in units of sd, after cap and penalties."""


@dataclass(frozen=True, repr=False)
class RunView:
    """What a run folder held when it was opened; open it again to see what a running fit has added since.

    Tables are dicts of columns, so `pandas.DataFrame(view.parameters)` works.
    """

    folder: Path
    settings: Mapping[str, Any]
    """The fit file, as JSON can hold it."""
    environment: Mapping[str, Any]
    """Versions and machine that the run was started with."""
    parameters: Table
    """One row per free parameter: name, unit, low, high (in that unit), scale (linear or log)."""
    terms: Table
    """One row per score function: stimulus, site, feature, mean, sd (target, in its own unit), weight, sweeps."""
    generations: int
    """How many whole generations there are."""
    _ledger: Ledger
    _light: tuple[Generation, ...]
    _best: Best | None

    @property
    def best(self) -> Best:
        """The best individual.  Raises LedgerError while there is no whole generation."""
        if self._best is None:
            raise LedgerError(f"{self.folder}: no generation has been finished yet, so there is no best individual")
        return self._best

    @property
    def evaluations(self) -> int:
        """Individuals evaluated in all generations."""
        return sum(evaluations(generation) for generation in self._light)

    def scores(self) -> list[np.ndarray]:
        """Per generation the scores of its individuals, (n,), in units of sd; n may differ between generations."""
        return [generation.arrays["scores"] for generation in self._light]

    def best_scores(self) -> np.ndarray:
        """(generations,) lowest score up to and including each generation, in units of sd."""
        lowest = [np.fmin.reduce(scores, initial=np.inf) for scores in self.scores()]
        return np.minimum.accumulate(np.array(lowest, dtype=float))

    def stack(self, name: str) -> np.ndarray:
        """An array of every generation, one below the other.

        Parameters
        ----------
        name : str
            ids, vectors, parameters, features, contributions, scores, statuses, parents, operators, survivor_ids,
            survivor_scores, survivor_vectors; or `generation`: the generation of each individual.

        Returns
        -------
        array, (rows of all generations, ...)
            Parameters and features in their own units, vectors in the unit cube, the rest as in the ledger.

        Raises
        ------
        LedgerError
            When there is no generation, or none has such an array.
        """
        if not self.generations:
            raise LedgerError(f"{self.folder}: no generation has been finished yet, so there is no array {name}")
        if name == "generation":
            return np.repeat(np.arange(self.generations), [len(scores) for scores in self.scores()])
        if name in ("ids", "scores"):
            return np.concatenate([generation.arrays[name] for generation in self._light])
        return np.concatenate(
            [_array(self.generation(number), name, self.folder) for number in range(self.generations)]
        )

    def generation(self, number: int) -> Generation:
        """One generation with all its arrays, counts and timings.  Raises IndexError when there is no such one."""
        return self._ledger.read(number)

    def counts(self) -> dict[str, np.ndarray]:
        """Columns (generations,): generation, and every count of the ledger; 0 where a generation has none."""
        return self._columns(lambda generation: generation.counts, 0)

    def timings(self) -> dict[str, np.ndarray]:
        """Columns (generations,): generation, and seconds spent in simulate, score, ...; NaN where not measured."""
        return self._columns(lambda generation: generation.timings_s, float("nan"))

    def _columns(self, of: Callable[[Generation], Mapping[str, Any]], missing: float) -> dict[str, np.ndarray]:
        names = dict.fromkeys(name for generation in self._light for name in of(generation))
        columns = {name: np.array([of(generation).get(name, missing) for generation in self._light]) for name in names}
        return {"generation": np.arange(self.generations)} | columns

    def __repr__(self) -> str:
        sizes = (
            f"{self.settings.get('name', '?')}, {self.generations} generations, {self.evaluations} evaluations, "
            f"{len(self.parameters['name'])} parameters, {len(self.terms['feature'])} score terms"
        )
        if self._best is None:
            return f"<RunView {self.folder}: {sizes}>"
        best = f"best score {self._best.score:.6g} (generation {self._best.generation}, id {self._best.id})"
        return f"<RunView {self.folder}: {sizes}; {best}, {self.best_scores()[0]:.6g} in generation 0>"


def open_run(folder: str | Path) -> RunView:
    """Open a run folder to read; the run may be going on meanwhile.

    Parameters
    ----------
    folder : str or Path
        The folder that `hpcfit fit` made: it holds ledger.h5.

    Raises
    ------
    LedgerError
        When there is no ledger, it is damaged, or it is not that of a fit.

    Examples
    --------
    >>> view = hpcfit.open_run("runs/l5pc")  # doctest: +SKIP
    >>> view.best.parameters["gIhbar_Ih.somatic"], view.best_scores()  # doctest: +SKIP
    """
    ledger = Ledger.open(Path(folder))
    tables = {name: _table(ledger, name) for name in ("parameters", "terms")}
    if len(ledger):
        tables["terms"] = _in_ranges(tables["terms"], ledger)
    light: list[Generation] = []
    best: Best | None = None
    for number in range(len(ledger)):
        generation = ledger.read(number)
        best = _better(best, generation, tables["parameters"])
        # Features of a long run do not fit into memory: only what every caller needs is kept.
        arrays = {name: generation.arrays[name] for name in ("ids", "scores")}
        light.append(Generation(number, arrays, generation.counts, generation.timings_s))
    header = ledger.header
    return RunView(
        folder=Path(folder),
        settings=header.settings,
        environment=header.environment,
        **tables,
        generations=len(ledger),
        _ledger=ledger,
        _light=tuple(light),
        _best=best,
    )


def _table(ledger: Ledger, name: str) -> Table:
    if name not in ledger.header.tables:
        raise LedgerError(f"{ledger.folder}: the ledger has no table {name}, so it is not that of a fit")
    return ledger.header.tables[name]


def _in_ranges(terms: Table, ledger: Ledger) -> Table:
    """The score functions with, in `sd`, the ranges over generation 0 of those that are told in these."""
    ranged = np.array([str(unit) == "range" for unit in terms.get("unit", ())], dtype=bool)
    if not ranged.any():
        return terms
    features = ledger.read(0).arrays["features"]
    return {**terms, "sd": first_generation_ranges(np.asarray(terms["sd"]), ranged, features)}


def _array(generation: Generation, name: str, folder: Path) -> np.ndarray:
    if name not in generation.arrays:
        known = ", ".join(sorted(generation.arrays))
        raise LedgerError(f"{folder}: generation {generation.number} has no array {name}; it has {known}")
    return generation.arrays[name]


def _better(best: Best | None, generation: Generation, parameters: Table) -> Best | None:
    arrays = generation.arrays
    if not len(arrays["scores"]):
        return best
    row = int(np.lexsort((arrays["ids"], arrays["scores"]))[0])  # NaN sorts last
    score = float(arrays["scores"][row])
    if best is not None and not score < best.score:
        return best
    return Best(
        score=score,
        parameters={
            str(name): float(value) for name, value in zip(parameters["name"], arrays["parameters"][row], strict=True)
        },
        vector=arrays["vectors"][row],
        id=int(arrays["ids"][row]),
        generation=generation.number,
        features=arrays["features"][row],
        contributions=arrays["contributions"][row],
    )
