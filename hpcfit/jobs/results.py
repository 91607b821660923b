"""What a finished run leaves for people: the best model in every form they use, its traces, and the report."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from hpcfit.biophys.engines.interface import Engine
from hpcfit.biophys.problem import Problem
from hpcfit.population.best import Member, best_member
from hpcfit.population.files import make_folder, replacing, write_text
from hpcfit.population.ledger import Ledger
from hpcfit.report.write import write_report


def write_results(
    folder: Path, ledger: Ledger, problem: Problem, engine: Engine, hoc: Callable[[np.ndarray], str]
) -> None:
    """Write best/ and report/ into the run folder.  hoc(values): the cell with these parameters as a hoc file.

    best/: parameters.toml, parameters.json (as BluePyOpt writes a best individual), model.hoc with morphology and
    mechanisms beside it, so that the folder can be handed on.

    Raises
    ------
    StorageError
        When something cannot be written.
    """
    best = best_member(ledger)
    if best is None:
        return
    values = problem.space.physical(best.vector[None, :])[0]
    place = make_folder(folder / "best")
    write_text(place / "parameters.toml", _toml(problem, values, best))
    write_text(place / "parameters.json", json.dumps(_bluepyopt(problem, values), indent=4) + "\n")
    write_text(place / "model.hoc", hoc(values))
    _copy_inputs(problem, place)
    write_traces(folder / "best.h5", problem, engine, values, best.id)
    write_report(folder)


def _toml(problem: Problem, values: np.ndarray, best: Member) -> str:
    lines = [
        f"# Best individual of {problem.settings.name}: id {best.id}, generation {best.generation}",
        f"score = {best.score!r}",
        "",
        "[parameters]",
    ]
    for name, unit, value in zip(problem.space.names, problem.space.units, values.tolist(), strict=True):
        lines.append(f'"{name}" = {value!r}' + (f"  # {unit}" if unit else ""))
    return "\n".join(lines) + "\n"


def _bluepyopt(problem: Problem, values: np.ndarray) -> dict[str, float]:
    """Names as in BluePyOpt's examples: variable.region; one entry for each region of a parameter."""
    names: dict[str, float] = {}
    for parameter, value in zip(problem.cell.free, values.tolist(), strict=True):
        for region in parameter.regions or ("",):
            names[f"{parameter.variable}.{region}" if region else parameter.variable] = value
    return names


def _copy_inputs(problem: Problem, place: Path) -> None:
    cell = problem.settings.cell
    with replacing(place / f"morphology{cell.morphology.suffix.lower()}") as temporary:
        shutil.copyfile(cell.morphology, temporary)
    if cell.mechanisms is not None:
        mechanisms = make_folder(place / "mechanisms")
        for file in sorted(cell.mechanisms.glob("*.mod")):
            with replacing(mechanisms / file.name) as temporary:
                shutil.copyfile(file, temporary)


def write_traces(path: Path, problem: Problem, engine: Engine, values: np.ndarray, member_id: int) -> None:
    """Simulate one individual, (parameters,), and write its voltages, currents and the recordings as an HDF5 file.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    responses = engine.simulate(values[None, :], [stimulus.name for stimulus in problem.stimuli])
    content = io.BytesIO()  # written by plain I/O, whose errors are clear where HDF5's are not
    with h5py.File(content, "w", track_order=True) as file:
        file.attrs["id"] = member_id
        for stimulus, v_mV in zip(problem.stimuli, responses.v_mV, strict=True):
            group = file.create_group(stimulus.name)
            group["model_v_mV"] = v_mV[0]
            # A current that lasts to the end is off at the very last sample: it is drawn as it was before.
            times = np.minimum(responses.time_ms(stimulus.name), np.nextafter(stimulus.duration_ms, 0.0))
            group["current_nA"] = stimulus.current_nA(times)
            trains = [point.times_ms for point in stimulus.point_processes if point.times_ms is not None]
            if trains:
                group["events_ms"] = np.sort(np.concatenate(trains))
            group.attrs.update(dt_ms=responses.dt_ms, sites=list(responses.sites), window_ms=stimulus.window_ms)
            for (name, site), recorded in problem.targets.traces.items():
                if name == stimulus.name and "recorded_v_mV" not in group:
                    group["recorded_v_mV"] = recorded.v_mV
                    group.attrs.update(recorded_dt_ms=recorded.dt_ms, recorded_site=site)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
