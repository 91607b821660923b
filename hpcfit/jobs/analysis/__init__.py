"""What can be learnt from a run?  Its best and good individuals, its problem simulated again, where results go."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.analysis.good import Good, good_individuals
from hpcfit.biophys.engines.interface import Engine
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import validate
from hpcfit.errors import ConfigError, InputError, LedgerError
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.ledger import Ledger
from hpcfit.report.run_view import RunView, open_run
from hpcfit.report.sections import Section, write_section
from hpcfit.report.write import analysis_folder, write_report
from hpcfit.run.processes import Processes


@dataclass(frozen=True)
class Bench:
    """A problem with a running simulator."""

    problem: Problem
    engine: Engine
    evaluate: Evaluator


def open_fitted(run: Path) -> RunView:
    """A run that has a best individual.  Raises LedgerError."""
    view = open_run(run)
    _ = view.best  # raises while there is no whole generation
    return view


def fitted_problem(view: RunView, inputs: Path | None = None, precision: str | None = None) -> Problem:
    """The problem that a run fitted, from its ledger and the files that it names.

    Parameters
    ----------
    view
        The run.
    inputs
        The folder that the fit file is in; default: where it was.
    precision
        Of the batched simulator in place of the fit's.

    Raises
    ------
    LedgerError
        When the ledger does not say where its files are.
    ConfigError, InputError
        When a file is gone or has another content, or `precision` is none of this simulator's.
    """
    place = inputs or view.environment.get(run_folder.INPUTS_FOLDER)
    if place is None:
        raise LedgerError(
            f"{view.folder}: its ledger does not say where the fit file was; give that folder by --inputs"
        )
    place = Path(place)
    try:
        settings = validate(FitSettings, dict(view.settings), view.folder, place)
        problem = Problem.of(settings)
        there = run_folder.header(problem, place).inputs
    except (ConfigError, InputError) as error:
        raise type(error)(f"{error}; --inputs FOLDER says where the fit file is, if it has moved") from None
    fitted = Ledger.open(view.folder).header.inputs
    for name in sorted(set(there) | set(fitted)):
        if there.get(name) != fitted.get(name):
            raise InputError(f"{place / name}: missing, or not what {view.folder} was fitted to; restore that file")
    if precision is None:
        return problem
    if settings.engine.kind != "batched" or precision not in ("single", "double"):
        raise ConfigError(
            f"--precision {precision}: the batched simulator has single and double, and this run was simulated by "
            f"{settings.engine.kind}; leave it out"
        )
    engine = settings.engine.model_copy(update={"precision": precision})
    return replace(problem, settings=settings.model_copy(update={"engine": engine}))


@contextmanager
def bench(problem: Problem) -> Iterator[Bench]:
    """A simulator of the problem.  Raises what `hpcfit.run` raises before it writes."""
    factory = simulator_factory(problem.cell, problem.stimuli, problem.settings.engine)
    factories = {SERVICE: factory, SCORER: problem.feature_factory()}
    with Processes(factories, problem.settings.engine.workers) as executor:
        engine = choose_simulator(NeuronEngine(factory, executor)).engine
        yield Bench(problem, engine, Evaluator(problem, engine, executor))


def publish(view: RunView, section: Section) -> list[Path]:
    """Write an analysis into RUN/analysis and the run's report again.  Raises StorageError."""
    paths = write_section(analysis_folder(view.folder), replace(section, generations=view.generations))
    return [*paths, write_report(view.folder)[-1]]


def good_of(view: RunView, within: float, most: int) -> Good:
    """The good individuals of a run.  Raises InputError."""
    return good_individuals(Ledger.open(view.folder), within, most)


def term_table(terms: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The first columns of a table with one row per score term."""
    return {name: terms[name] for name in ("stimulus", "site", "feature", "mean", "sd")}
