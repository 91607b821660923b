"""What does each simulator cost and how wrong is it, on this cell?  Error against cost, from the limit dt -> 0.

Every scheme is the same population under other engine settings; the reference is the batched engine in double precision
(NEURON where that cannot translate a mechanism), second order, at steps 16 and 32 times smaller than NEURON's default.
"""

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.accuracy import Observed, Reference, errors, make_reference, spike_times_ms
from hpcfit.biophys.engine_settings import MODES, EngineSettings
from hpcfit.biophys.engines.interface import Engine, Responses
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.problem import SCORER, Evaluator, Problem
from hpcfit.biophys.targets import site_settings
from hpcfit.config import read_toml
from hpcfit.errors import ConfigError, EngineError, InputError, MechanismError
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.files import write_text
from hpcfit.run.processes import Processes
from hpcfit.run.processor_time import ProcessorTime

FINE_SAMPLING_MS = 0.025
"""Spike times are interpolated between samples this far apart, or a step where that is longer."""
BATCH = 32
"""Individuals of which the cost of an engine that holds a population is measured."""
DRAWS_PER_MODEL = 20
"""So many are drawn for each model wanted before giving up on finding more that fire."""


@dataclass(frozen=True)
class Scheme:
    """A row of the table: engine settings under a name."""

    name: str
    engine: Mapping[str, Any]
    quick: bool = False
    """Also in the quick table."""


def _batched(precision: str, order: int, dt_ms: float) -> Scheme:
    engine = {"kind": "batched", "precision": precision, "order": order, "dt_ms": dt_ms}
    mode = next((f" (mode {name})" for name, preset in MODES.items() if preset.items() <= engine.items()), "")
    return Scheme(f"batched {precision} order {order} dt {dt_ms:g}{mode}", engine, bool(mode))


NEURON_DEFAULT = Scheme("NEURON order 1 dt 0.025 (its default)", {"kind": "neuron", "order": 1, "dt_ms": 0.025}, True)
SCHEMES = (
    NEURON_DEFAULT,
    Scheme("NEURON order 2 dt 0.025", {"kind": "neuron", "order": 2, "dt_ms": 0.025}, True),
    Scheme("NEURON CVODE atol 1e-3 (BluePyOpt's)", {"kind": "neuron", "integrator": "cvode", "cvode_atol": 1e-3}, True),
    Scheme("CoreNEURON order 2 dt 0.025", {"kind": "coreneuron", "order": 2, "dt_ms": 0.025}),
    *(
        _batched(precision, order, dt_ms)
        for precision in ("single", "double")
        for order in (1, 2)
        for dt_ms in (0.0125, 0.025, 0.05, 0.1)
    ),
)
"""The rows.  Another simulator is one more line: any settings that EngineSettings takes."""


@dataclass(frozen=True)
class Request:
    """What table is wanted.

    Attributes
    ----------
    models, seed
        How many models that fire, drawn from the fit's bounds.
    stimuli
        Names; empty: all that score functions look at.
    parameters
        TOML files of parameters to add to the draws: a run's best/parameters.toml, or name = value.
    quick
        The default, fast and exact modes and NEURON only; a reference at twice the step; one round of timing.
    """

    models: int = 8
    seed: int = 1
    stimuli: tuple[str, ...] = ()
    parameters: tuple[Path, ...] = ()
    quick: bool = False

    @property
    def reference_dt_ms(self) -> tuple[float, float]:
        """The two steps of the reference."""
        return (0.025 / 8, 0.025 / 16) if self.quick else (0.025 / 16, 0.025 / 32)

    @property
    def rounds(self) -> int:
        """How often each cost is measured."""
        return 1 if self.quick else 3


def accuracy_table(
    problem: Problem,
    request: Request,
    schemes: Iterable[Scheme] = SCHEMES,
    say: Callable[[str], Any] = lambda line: None,
) -> dict[str, Any]:
    """The table of error against cost, as JSON can hold it.

    Raises
    ------
    ConfigError, InputError
        When a stimulus or a parameter is unknown, or none of the models drawn fires.
    MechanismError
        When neither engine can simulate the cell.
    """
    chosen = [scheme for scheme in schemes if scheme.quick or not request.quick]
    with _Bench(problem, request.stimuli) as bench:
        models, drawn, given = _models(bench, request)
        steps = request.reference_dt_ms
        finest = {"dt_ms": steps[1], "order": 2}
        simulated_by, observed = "", []
        for dt_ms in steps:
            say(f"reference: dt {dt_ms:g} ms, {len(models)} models")
            engine, simulated_by = bench.reference(dt_ms)
            observed.append(bench.observe(engine, models))
        reference = make_reference(observed[0], observed[1], bench.terms, bench.stimuli)
        rows, left_out = _rows(bench, chosen, models, reference, say)
        say("cost: each scheme in turn")
        _add_costs(bench, rows, models, request.rounds)
    spikes = sum(len(one) for row in reference.observed.spikes_ms for one in row)
    return {
        "schema": 1,
        "fit": problem.settings.name,
        "stimuli": list(bench.stimuli),
        "models": {"kept": len(models), "drawn": drawn, "given": given, "seed": request.seed},
        "reference": {
            "engine": simulated_by,
            **finest,
            "checked_against_dt_ms": steps[0],
            "responses": int(reference.resolved.size),
            "spikes": spikes,
            "error_ms": reference.error_ms,
            "features_error_sd": reference.features_error_sd,
            "unresolved": [
                {"model": row, "stimulus": bench.stimuli[column], "why": why}
                for (row, column), why in reference.reasons.items()
            ],
        },
        "schemes": [{key: value for key, value in row.items() if key != "run"} for row in rows],
        "left_out": left_out,
        "machine": platform.machine(),
    }


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """The table as a JSON file.  Raises StorageError when it cannot be written."""
    write_text(path, json.dumps(table, indent=1) + "\n")


class _Bench:
    """The cell, its stimuli and its scores, with engines of any settings; a context manager that ends their workers."""

    def __init__(self, problem: Problem, stimuli: Sequence[str]) -> None:
        scored = problem.scored_stimuli
        unknown = [name for name in stimuli if name not in scored]
        if unknown:
            raise ConfigError(f"stimulus {unknown[0]} is not among those that are scored: {', '.join(scored)}")
        if any(term.unit == "range" for term in problem.targets.terms):
            raise ConfigError("unit = 'range' is that of a run's generation 0; compare simulators with unit = 'sd'")
        self.problem = problem
        self.stimuli = tuple(name for name in scored if not stimuli or name in stimuli)
        self.model_s = sum(s.duration_ms for s in problem.stimuli if s.name in self.stimuli) / 1000.0
        self.columns = [k for k, term in enumerate(problem.targets.terms) if term.stimulus in self.stimuli]
        self.terms = [problem.targets.terms[k] for k in self.columns]
        self.threshold_mV = site_settings(problem.settings, "soma").threshold_mV
        self.factory = neuron_factory(problem.cell, problem.stimuli, problem.settings.engine)
        self._stack = ExitStack()

    def __enter__(self) -> "_Bench":
        workers = self.problem.settings.engine.workers
        factories = {SERVICE: self.factory, SCORER: self.problem.feature_factory()}
        self._builder = self._stack.enter_context(Processes(factories, workers))
        NeuronEngine(self.factory, self._builder).describe()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def settings(self, changes: Mapping[str, Any]) -> EngineSettings:
        """The fit's engine with these in place of its own; sampled finely, in step with the fit's features.

        Raises ConfigError when the step does not divide the fit's record_dt_ms.
        """
        mine = self.problem.settings.engine
        kept = {name: getattr(mine, name) for name in ("deadline_s", "voltage_limit_mV", "workers")}
        whole = mine.record_dt_ms
        step = changes.get("dt_ms", 0.0) if changes.get("integrator") != "cvode" else 0.0
        for parts in range(max(1, round(whole / FINE_SAMPLING_MS)), 0, -1):
            sampling = whole / parts
            if step == 0.0 or (sampling >= step * (1 - 1e-9) and abs(sampling / step - round(sampling / step)) < 1e-6):
                return EngineSettings.model_validate({**kept, **changes, "record_dt_ms": sampling})
        raise ConfigError(f"dt_ms = {step:g} does not divide engine.record_dt_ms = {whole:g}")

    def engine(self, changes: Mapping[str, Any]) -> Engine:
        """An engine of the fit's cell.  Raises what its construction does.

        Engines that hold a population run on one core: threads that wait for each other would add to their cost.
        """
        changes = changes if changes["kind"] == "neuron" else {"workers": 1, **changes}
        factory = replace(self.factory, settings=self.settings(changes))
        if factory.settings.kind == "batched":  # needs NEURON only to build the cell: one process for all of them
            return choose_simulator(NeuronEngine(factory, self._builder)).engine
        mine = simulator_factory(self.problem.cell, self.problem.stimuli, factory.settings)
        executor = self._stack.enter_context(Processes({SERVICE: mine}, factory.settings.workers))
        return choose_simulator(NeuronEngine(mine, executor)).engine

    def reference(self, dt_ms: float) -> tuple[Engine, str]:
        """The engine nearest to NEURON's equations that is quick enough for a tiny step, and its name."""
        step = {"order": 2, "dt_ms": dt_ms}
        try:
            workers = self.problem.settings.engine.workers
            return self.engine({"kind": "batched", "precision": "double", "workers": workers, **step}), "batched double"
        except (MechanismError, EngineError):
            return self.engine({"kind": "neuron", "deadline_s": 1e6, **step}), "NEURON"

    def observe(self, engine: Engine, models: np.ndarray) -> Observed:
        """Simulate, read features at the fit's own sampling, spikes at the finest."""
        responses = engine.simulate(models, self.stimuli)
        every = round(self.problem.settings.engine.record_dt_ms / responses.dt_ms)
        sampled = tuple(np.ascontiguousarray(v_mV[..., ::every]) for v_mV in responses.v_mV)
        coarse = replace(responses, dt_ms=self.problem.settings.engine.record_dt_ms, v_mV=sampled)
        features, _ = Evaluator(self.problem, engine, self._builder).features(coarse)
        return Observed.of(
            responses, features[:, self.columns], self.terms, self.problem.settings.penalties, self.threshold_mV
        )

    def fires(self, responses: Responses) -> np.ndarray:
        """(individuals,) bool: at least one spike at the soma under some stimulus."""
        soma = responses.sites.index("soma")
        spikes = [
            [len(spike_times_ms(v_mV[row, soma], responses.dt_ms, self.threshold_mV)) for v_mV in responses.v_mV]
            for row in range(len(responses.status))
        ]
        return np.sum(spikes, axis=1) > 0


def _models(bench: _Bench, request: Request) -> tuple[np.ndarray, int, int]:
    """(models, parameters): those given, then random ones that fire; how many were drawn; how many were given."""
    space = bench.problem.space
    given = np.array([_parameters(path, space.names) for path in request.parameters]).reshape(-1, len(space.names))
    engine, _ = bench.reference(0.025)
    most = request.models * DRAWS_PER_MODEL
    draws = space.random(most, request.seed)
    found: list[np.ndarray] = []
    drawn = 0
    while len(found) < request.models and drawn < most:
        batch = draws[drawn : drawn + request.models]
        for values, fires in zip(batch, bench.fires(engine.simulate(batch, bench.stimuli)), strict=True):
            drawn += len(found) < request.models
            if fires and len(found) < request.models:
                found.append(values)
    if not found and not len(given):
        raise InputError(
            f"none of {drawn} models drawn from the bounds fires under {', '.join(bench.stimuli)}; "
            "name stimuli that make them fire, or give --parameters of one that does"
        )
    return np.concatenate([given, np.array(found).reshape(-1, len(space.names))]), drawn, len(given)


def _parameters(path: Path, names: Sequence[str]) -> list[float]:
    """Values in the order of the names, from name = value at the top or under [parameters]."""
    tables = read_toml(path)
    values = tables.get("parameters", tables)
    values = values if isinstance(values, dict) else {}
    missing = [name for name in names if not isinstance(values.get(name), int | float)]
    if missing:
        raise InputError(f"{path}: has no number for the free parameter {missing[0]}; add it")
    return [float(values[name]) for name in names]


def _rows(
    bench: _Bench,
    schemes: Sequence[Scheme],
    models: np.ndarray,
    reference: Reference,
    say: Callable[[str], Any],
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    for scheme in schemes:
        say(scheme.name)
        try:
            engine = bench.engine(scheme.engine)
        except (ConfigError, EngineError, MechanismError) as error:
            left_out.append({"name": scheme.name, "reason": str(error)})
            continue
        found = errors(bench.observe(engine, models), reference, bench.terms, bench.stimuli)
        rows.append({"name": scheme.name, "engine": dict(scheme.engine), "run": engine, **found})
    return rows, left_out


def _add_costs(bench: _Bench, rows: Sequence[dict[str, Any]], models: np.ndarray, rounds: int) -> None:
    """Processor seconds for a second of model time, and how much quicker than NEURON's default that is.

    The schemes take turns, since a shared machine's speed drifts: the ratio is the median of those within a round.
    NEURON simulates one model at a time, an engine of populations BATCH of them.
    """
    taken: dict[str, list[float]] = {row["name"]: [] for row in rows}
    for number in range(rounds):
        for row in rows:
            alone = row["engine"]["kind"] == "neuron"
            values = models[[number % len(models)]] if alone else models[np.arange(BATCH) % len(models)]
            with ProcessorTime() as spent:
                row["run"].simulate(values, bench.stimuli)
            taken[row["name"]].append(spent.seconds / (bench.model_s * len(values)))
    unit = np.array(taken.get(NEURON_DEFAULT.name, [np.nan]))
    for row in rows:
        seconds = np.array(taken[row["name"]])
        ratio = float(np.median(unit / seconds))
        row["core_s_per_model_s"] = float(np.median(seconds))
        row["times_neuron"] = ratio if np.isfinite(ratio) else None
