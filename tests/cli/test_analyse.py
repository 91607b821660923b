"""Does `hpcfit analyse` answer from a run's ledger and by simulating again, and refuse what it cannot use?"""

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.features import extract
from hpcfit.biophys.settings import FeatureSettings
from hpcfit.population.ledger import Header, Ledger
from hpcfit.report.run_view import open_run

HELD_OUT = """\
[[stimuli]]
name = "weaker"
duration_ms = 50
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.15 }]

[[stimuli]]
name = "silent"
duration_ms = 30
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 10, amplitude_nA = 0.0 }]

[targets.weaker.statistics.soma]
AP_amplitude = [75, 3]
voltage_base = [-66, 1]

[targets.silent.statistics.soma]
voltage_base = [-66, 1]
"""


def rows(path: Path) -> list[dict[str, str]]:
    with open(path) as file:
        return list(csv.DictReader(file))


def slope(problem: hpcfit.load, centre: np.ndarray, index: int, step: float, feature: str) -> float:
    """Central difference of a feature by a parameter's place, from traces that NEURON simulated here."""
    places = np.stack([centre, centre])
    places[0, index] -= step
    places[1, index] += step
    traces = hpcfit.simulate(problem.cell, problem.space.physical(places), problem.stimuli).v_mV[0][:, 0]
    low, high = extract(traces, 0.1, (10.0, 40.0), (feature,), FeatureSettings())[:, 0]
    return float(high - low) / (2 * step)


@pytest.fixture
def fitted(tiny, hpcfit):
    """A finished tiny run."""
    assert hpcfit("fit", tiny()).code == 0
    return Path("runs/tiny")


def test_every_analysis_of_one_run(fitted, hpcfit):
    view = open_run(fitted)
    ended = hpcfit("analyse", "pareto", fitted, "--by", "terms", "--within", 1000)
    assert ended.code == 0 and "good individuals of 18 evaluated" in ended.out
    front = rows(fitted / "analysis" / "pareto_front.csv")
    assert int(front[0]["id"]) == view.best.id and float(front[0]["score"]) == view.best.score
    parts = [float(front[0][f"step.soma.{name}"]) for name in ("Spikecount", "AP_amplitude", "voltage_base")]
    assert parts == view.best.contributions.tolist()

    ended = hpcfit("analyse", "sloppiness", fitted, "--within", 1000, "--points", 5)
    assert ended.code == 0 and "Stiffest: " in ended.out, ended
    check_sloppiness(fitted, view)

    ended = hpcfit("analyse", "sensitivity", fitted, "--points", 4)
    assert ended.code == 0 and "in 4 points" in ended.out, ended
    check_sensitivity(fitted, view)

    Path("held_out.toml").write_text(HELD_OUT)
    ended = hpcfit("analyse", "generalisation", fitted, "held_out.toml", "--top", 3)
    assert ended.code == 0 and "3 best distinct individuals of 18" in ended.out, ended
    check_generalisation(fitted, view)

    page = (fitted / "report" / "report.html").read_text()
    titles = ("Pareto front over terms", "Stiff and sloppy directions", "One parameter at a time", "Held-out stimuli")
    assert all(f"<h2>{title}</h2>" in page for title in titles)


def check_sloppiness(run: Path, view) -> None:
    problem = hpcfit.load("fit.toml")
    table = {row["feature"]: row for row in rows(run / "analysis" / "sloppiness_derivatives.csv")}
    row, index = table["voltage_base"], list(view.parameters["name"]).index("g_pas.all")
    assert row["derivative"] == "used" and table["Spikecount"]["derivative"] != "undefined"
    truth = slope(problem, view.best.vector, index, float(row["step"]), "voltage_base")  # its sd and weight are 1
    assert float(row["g_pas.all"]) == pytest.approx(truth, rel=1e-6, abs=1e-9) and abs(truth) > 1e-6
    with h5py.File(run / "analysis" / "sloppiness.h5") as file:
        used, jacobian = file["used"][()], file["jacobian"][()]
        assert np.allclose(
            file["eigenvalues"][()], np.linalg.eigvalsh(jacobian[used].T @ jacobian[used])[::-1], atol=1e-6
        )
    curves = rows(run / "analysis" / "sloppiness_profiles.csv")
    assert [curve["direction"] for curve in curves] == ["stiffest"] * 5 + ["sloppiest"] * 5
    middles = [float(curve["score"]) for curve in curves if abs(float(curve["distance"])) < 1e-12]
    assert middles and middles == pytest.approx([view.best.score] * len(middles), rel=1e-6)


def check_sensitivity(run: Path, view) -> None:
    problem, centre = hpcfit.load("fit.toml"), view.best.vector
    found = {(row["feature"], row["parameter"]): row for row in rows(run / "analysis" / "sensitivity_features.csv")}
    assert len(found) == 9
    vectors = np.tile(centre, (4, 1))
    vectors[:, 0] = np.linspace(0, 1, 4)
    parameters = problem.space.physical(vectors)
    traces = hpcfit.simulate(problem.cell, parameters, problem.stimuli).v_mV[0][:, 0]
    values = extract(traces, 0.1, (10.0, 40.0), ("AP_amplitude", "voltage_base"), FeatureSettings())
    row = found["voltage_base", "g_pas.all"]
    assert float(row["range_sd"]) == pytest.approx(np.ptp(values[:, 1]), rel=1e-9) and row["undefined"] == ""
    missing = np.flatnonzero(np.isnan(values[:, 0]))
    assert bool(found["AP_amplitude", "g_pas.all"]["undefined"]) == bool(len(missing))
    # d ln f / d ln p = df/du / (p ln(high / low)) * p / f on a log scale.
    by_place = slope(problem, centre, 0, 0.01, "voltage_base")
    base = view.best.features[list(view.terms["feature"]).index("voltage_base")]
    expected = by_place / (np.log(1e-3 / 1e-5) * base)
    assert float(row["elasticity"]) == pytest.approx(expected, rel=1e-3)


def check_generalisation(run: Path, view) -> None:
    individuals = rows(run / "analysis" / "generalisation_individuals.csv")
    assert [int(individuals[0]["id"]), float(individuals[0]["fitted_score"])] == [view.best.id, view.best.score]
    assert len(individuals) == 3
    problem = hpcfit.load("fit.toml")
    stimulus = problem.settings.stimuli[0]
    weaker = stimulus.model_copy(
        update={"electrodes": (stimulus.electrodes[0].model_copy(update={"amplitude_nA": 0.15}),)}
    )
    trace = hpcfit.simulate(problem.cell, np.array(list(view.best.parameters.values())), [weaker]).v_mV[0][:, 0]
    value = extract(trace, 0.1, (10.0, 40.0), ("voltage_base",), FeatureSettings())[0, 0]
    features = {
        (row["stimulus"], row["feature"]): row for row in rows(run / "analysis" / "generalisation_features.csv")
    }
    row = features["weaker", "voltage_base"]
    assert float(row["best_value"]) == pytest.approx(value, abs=1e-9)
    assert float(row["best_error_sd"]) == pytest.approx(value + 66, abs=1e-9)
    assert set(features) == {("weaker", "AP_amplitude"), ("weaker", "voltage_base"), ("silent", "voltage_base")}
    kinds = {row["stimulus"]: row["kind"] for row in rows(run / "analysis" / "generalisation_stimuli.csv")}
    assert kinds == {"step": "fitted", "weaker": "held out", "silent": "held out"}
    with h5py.File(run / "analysis" / "generalisation_traces.h5") as file:
        assert np.allclose(file["weaker"]["model_v_mV"][0], trace[0])


def refused(hpcfit, *arguments) -> str:
    ended = hpcfit(*arguments)
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1, ended
    return ended.err


ALL = (("pareto",), ("sloppiness",), ("sensitivity",), ("generalisation", "held_out.toml"))


def test_no_ledger_and_no_generation(tmp_path, hpcfit):
    tables = {"parameters": {"name": np.array(["a"])}, "terms": {"feature": np.array(["b"])}}
    Ledger.create(tmp_path / "begun", Header({}, {}, tables))
    for verb, *more in ALL:
        line = refused(hpcfit, "analyse", verb, tmp_path / "nothing", *more)
        assert "no ledger.h5 in this folder; give the folder of a run" in line
        line = refused(hpcfit, "analyse", verb, tmp_path / "begun", *more)
        assert "no generation has been finished yet" in line


def test_what_cannot_be_analysed_is_one_clear_line(fitted, hpcfit):
    def says(*arguments: object) -> str:
        return refused(hpcfit, "analyse", arguments[0], fitted, *arguments[1:])

    assert "within = 0.5; it multiplies the best score" in says("pareto", "--within", 0.5)
    assert "good individuals cannot be correlated" in says("sloppiness", "--top", 2)
    assert "give at least two, rising" in says("sloppiness", "--steps", "0.01")
    assert "give at least two, rising" in says("sloppiness", "--steps", "0.02,0.01")
    assert "--steps = 'a,b'; write numbers" in says("sloppiness", "--steps", "a,b")
    assert "between 0 and 0.25" in says("sloppiness", "--within", 1000, "--steps", "0.1,0.5")
    assert "--reach 0" in says("sloppiness", "--reach", 0)
    assert "--points 2" in says("sloppiness", "--points", 2)
    assert "2 points do not show" in says("sensitivity", "--points", 2)
    assert "between 0 and 0.25 of a parameter's range" in says("sensitivity", "--step", 0.5)
    assert "this run was simulated by neuron; leave it out" in says("sensitivity", "--precision", "double")
    assert "no such file" in says("generalisation", "nowhere.toml")
    Path("held_out.toml").write_text(HELD_OUT)
    unknown = says("generalisation", "held_out.toml", "--stimuli", "weakest")
    assert "held_out.toml: there is no stimulus weakest; it has weaker, silent" in unknown
    assert "--top 0" in says("generalisation", "held_out.toml", "--top", 0)
    assert not (fitted / "analysis").exists()

    for change, line in (
        (('"weaker"', '"step"'), "held_out.toml: stimulus step was fitted, so it says nothing about generalisation"),
        (("targets.weaker.", "targets.weakr."), "held_out.toml: targets.weakr names no stimulus of this file"),
        (("AP_amplitude", "AP_amplitud"), "held_out.toml: "),
        (("[[stimuli]]", "[[stimulus]]"), "held_out.toml: unknown key stimulus; did you mean stimuli?"),
    ):
        text = HELD_OUT.replace(*change)
        Path("held_out.toml").write_text(
            text.replace("[targets.weaker", "[targets.step") if change[1] == '"step"' else text
        )
        assert line in says("generalisation", "held_out.toml")


def test_inputs_that_moved_or_changed(fitted, hpcfit, tmp_path):
    Path("elsewhere").mkdir()
    Path("ball.swc").rename("elsewhere/ball.swc")
    line = refused(hpcfit, "analyse", "sensitivity", fitted)
    assert "ball.swc: missing, or not what runs/tiny was fitted to" in line
    assert hpcfit("analyse", "sensitivity", fitted, "--points", 3, "--inputs", "elsewhere").code == 0
    with open("elsewhere/ball.swc", "a") as file:
        file.write("# another cell\n")
    line = refused(hpcfit, "analyse", "sensitivity", fitted, "--inputs", "elsewhere")
    assert "elsewhere/ball.swc: missing, or not what runs/tiny was fitted to; restore that file" in line
    shutil.rmtree("elsewhere")


def test_sweeps_that_were_fitted_are_not_held_out(tiny, hpcfit, tmp_path):
    time, rng = np.arange(0, 50, 0.1), np.random.default_rng(0)
    with h5py.File(tmp_path / "sweeps.h5", "w") as file:
        for name in ("one/0", "two/0"):
            sweep = file.create_group(name)
            sweep.attrs["dt_ms"] = 0.1
            sweep["voltage_mV"] = -66 + 0.1 * rng.standard_normal(len(time))
            sweep["current_nA"] = np.where((time >= 10) & (time < 40), 0.2, 0.0)
    recorded = '[targets.step]\nrecordings = "sweeps.h5"\nsweeps = ["one/*"]\n\n[targets.step.statistics.soma]'
    assert hpcfit("fit", tiny(("[targets.step.statistics.soma]", recorded)), "--generations", 1).code == 0
    held_out = """\
[[stimuli]]
name = "again"
duration_ms = 50
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2 }]
[targets.again]
recordings = "sweeps.h5"
sweeps = ["SWEEP/*"]
[[scores]]
features = ["voltage_base"]
"""
    Path("held_out.toml").write_text(held_out.replace("SWEEP", "one"))
    line = refused(hpcfit, "analyse", "generalisation", "runs/tiny", "held_out.toml")
    assert "targets.again: sweep one/0 of" in line and "was fitted as step" in line
    Path("held_out.toml").write_text(held_out.replace("SWEEP", "two"))
    assert hpcfit("analyse", "generalisation", "runs/tiny", "held_out.toml").code == 0
