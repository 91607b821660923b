"""Does `hpcfit fit` leave what it promises: results, log, the same numbers again, a model that runs without hpcfit?"""

import json
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.report.run_view import open_run

LONG = ("generations = 3", "generations = 100000")


def same(first: Path, second: Path) -> list[str]:
    return same_numbers(Ledger.open(first), Ledger.open(second))


def logged(folder: Path) -> list[str]:
    """generation=0, generation=1, ... as log.txt has them."""
    return [line.split()[1] for line in (folder / "log.txt").read_text().splitlines()]


def status(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "status.json").read_text())


def wait_for(generations: int, folder: Path, process: subprocess.Popen[str]) -> None:
    """Until log.txt has so many lines."""
    ends = time.monotonic() + 60
    while not (folder / "log.txt").exists() or len(logged(folder)) < generations:
        assert process.poll() is None and time.monotonic() < ends, process.communicate()
        time.sleep(0.02)


def test_what_a_run_leaves(tiny, hpcfit):
    ended = hpcfit("fit", tiny())
    run = Path("runs/tiny")
    assert ended.code == 0
    assert ended.out.startswith("best score ") and "results in runs/tiny" in ended.out
    assert [line.split()[1] for line in ended.err.splitlines()] == logged(run) == [f"generation={n}" for n in range(3)]
    for line in (run / "log.txt").read_text().splitlines():
        stamp, *pairs = line.split()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", stamp)
        keys = [pair.partition("=")[0] for pair in pairs]
        assert keys[:4] == ["generation", "evaluations", "best", "median"] and {"total_s", "failed"} <= set(keys)
        assert all(float(pair.partition("=")[2]) >= 0 for pair in pairs)
    assert {path.name for path in (run / "best").iterdir()} == {
        "parameters.toml",
        "parameters.json",
        "model.hoc",
        "morphology.swc",
    }
    assert (run / "best" / "morphology.swc").read_bytes() == Path("ball.swc").read_bytes()
    report = {path.name: path.stat().st_size for path in (run / "report").iterdir()}
    assert set(report) == {"convergence.png", "traces.png", "features.png", "parameters.png", "report.html"}
    assert min(report.values()) > 5000
    said = status(run)
    assert (said["state"], said["generation"], said["generations"], said["evaluations"]) == ("finished", 2, 3, 18)
    assert not list(run.rglob("*.tmp"))
    view = open_run(run)
    with open(run / "best" / "parameters.toml", "rb") as file:
        best = tomllib.load(file)
    assert best == {"score": view.best.score, "parameters": view.best.parameters}
    assert said["best_score"] == view.best.score
    values = json.loads((run / "best" / "parameters.json").read_text())
    assert values == view.best.parameters  # its names are variable.region, as those of parameters in one region are
    assert all(low <= value <= high for low, value, high in _within_bounds(view))


def _within_bounds(view: Any) -> list[tuple[float, float, float]]:
    return list(zip(view.parameters["low"], view.best.parameters.values(), view.parameters["high"], strict=True))


def test_best_traces_are_those_of_the_best_individual(tiny, hpcfit):
    assert hpcfit("fit", tiny()).code == 0
    view = open_run("runs/tiny")
    with h5py.File("runs/tiny/best.h5") as file:
        step = file["step"]
        v_mV, current, dt = step["model_v_mV"][()], step["current_nA"][()], step.attrs["dt_ms"]
        assert file.attrs["id"] == view.best.id
    assert v_mV.shape == (1, 501) and current.shape == (501,) and dt == 0.1
    spikes = np.sum((v_mV[0, 1:] > -20) & (v_mV[0, :-1] <= -20))
    feature = list(view.terms["feature"]).index("Spikecount")
    assert view.best.features[feature] == spikes
    t_ms = np.arange(501) * dt
    assert np.array_equal(current, np.where((t_ms >= 10) & (t_ms < 40), 0.2, 0.0))


def test_the_same_seed_gives_the_same_numbers_with_any_workers(tiny, hpcfit):
    for name, workers, seed in (("one", 1, 3), ("two", 2, 3), ("again", 2, 3), ("other", 2, 4)):
        file = tiny(("workers = 2", f"workers = {workers}"), ("seed = 3", f"seed = {seed}"))
        assert hpcfit("fit", file, "--run", name).code == 0
    assert same(Path("one"), Path("two")) == []
    assert same(Path("two"), Path("again")) == []
    differences = same(Path("two"), Path("other"))
    assert "generation 0: vectors" in differences and "generation 2: scores" in differences


def test_more_generations_extend_a_run(tiny, hpcfit):
    assert hpcfit("fit", tiny(), "--run", "grown", "--generations", 2).code == 0
    assert status(Path("grown"))["reason"] == "all 2 generations done"
    assert hpcfit("fit", tiny(), "--run", "grown", "--generations", 5).code == 0
    assert hpcfit("fit", tiny(("generations = 3", "generations = 5")), "--run", "whole").code == 0
    assert same(Path("grown"), Path("whole")) == []
    assert logged(Path("grown")) == logged(Path("whole")) == [f"generation={n}" for n in range(5)]


def test_a_finished_run_stays_as_it_is(tiny, hpcfit):
    first = hpcfit("fit", tiny())
    run = Path("runs/tiny")

    def contents() -> dict[str, bytes]:
        grows = ("status.json", "starts.jsonl")
        return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name not in grows}

    before = contents()
    again = hpcfit("fit", tiny())
    after = contents()
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert {name for name in before if before[name] != after.get(name)} <= {f"{run}/best.h5"}  # holds times of HDF5
    assert set(before) == set(after)
    with h5py.File(run / "best.h5") as file:
        assert file["step"]["model_v_mV"].shape == (1, 501)
    assert status(run)["state"] == "finished"


@pytest.mark.parametrize(("sent", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "scancel")])
def test_interrupted(sent, name, tiny, hpcfit, started):
    process = started("fit", tiny(LONG), "--run", "run")
    wait_for(3, Path("run"), process)
    running = hpcfit("status", "run").out
    assert f"running (process {process.pid} on " in running and " of 100000" in running
    drawn = hpcfit("plot", "run")
    assert drawn.code == 0 and drawn.out.splitlines()[-1] == "run/report/report.html"
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), name
    assert err.splitlines()[-1] == "hpcfit: interrupted; whole generations are kept, the same command goes on"
    assert "Traceback" not in err
    whole = len(Ledger.open(Path("run")))
    assert whole >= 3 and "stopped (interrupted)" in hpcfit("status", "run").out
    assert hpcfit("fit", tiny(LONG), "--run", "run", "--generations", whole + 2).code == 0
    assert hpcfit("fit", tiny(LONG), "--run", "other", "--generations", whole + 2).code == 0
    assert same(Path("run"), Path("other")) == []
    assert logged(Path("run")) == [f"generation={n}" for n in range(whole + 2)]
    assert "finished (all " in hpcfit("status", "run").out


# Every shape of stimulus; the last one enters and is recorded in the dendrite too.
STIMULI = """\
[[stimuli]]
name = "step"
duration_ms = 50
holding_nA = -0.01
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2 }]

[[stimuli]]
name = "ramp-1.5"
duration_ms = 40
electrodes = [{ shape = "ramp", delay_ms = 5, duration_ms = 30, start_nA = 0.02, end_nA = 0.3 }]

[[stimuli]]
name = "chirp"
duration_ms = 60
electrodes = [{ shape = "chirp", delay_ms = 5, duration_ms = 50, amplitude_nA = 0.1, start_Hz = 10, end_Hz = 90 }]

[[stimuli]]
name = "noise"
duration_ms = 40
electrodes = [{ shape = "noise", delay_ms = 5, duration_ms = 30, mean_nA = 0.1, sd_nA = 0.1, seed = 4 }]

[[stimuli]]
name = "file"
duration_ms = 40
electrodes = [{ shape = "file", path = "w.csv", delay_ms = 3, scale = 2 }]

[[stimuli]]
name = "two"
duration_ms = 40
electrodes = [
    { shape = "step", delay_ms = 5, duration_ms = 30, amplitude_nA = 0.1 },
    { shape = "ramp", site = "dendrite", delay_ms = 12.5, duration_ms = 20, end_nA = 0.2 },
]

[[sites]]
name = "dendrite"
region = "basal"
distance_um = 120

"""
PLAYER = """
import json, sys
from neuron import h
h.load_file("stdrun.hoc")
h.load_file("model.hoc")
record_dt = float(sys.argv[1])
found = {}
for name in sys.argv[2:]:
    getattr(h, "stimulus_" + "".join(c if c.isalnum() else "_" for c in name))()
    places = {"soma": h.cell.soma[0](0.5), "dendrite": h.cell.dend[0](120 / h.cell.dend[0].L)}
    traces = {site: h.Vector().record(place._ref_v, record_dt) for site, place in places.items()}
    if h.cvode.active():
        h.tstop += record_dt
    h.run()
    found[name] = {site: trace.to_python() for site, trace in traces.items()}
json.dump(found, open("played.json", "w"))
"""


def play(best: Path, stimuli: list[str]) -> dict[str, Any]:
    """What the hoc file does in a NEURON that knows nothing of hpcfit."""
    program = Path(sys.executable).parent / "nrnivmodl"
    done = subprocess.run([str(program), "mechanisms"], cwd=best, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-c", PLAYER, "0.1", *stimuli]
    done = subprocess.run(command, cwd=best, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((best / "played.json").read_text())


@pytest.mark.parametrize(
    ("engine", "tolerance_mV"),
    [("order = 1", 1e-9), ("order = 2", 1e-9), ('integrator = "cvode"\ncvode_atol = 1e-4', 1e-3)],
)
def test_the_hoc_file_does_what_hpcfit_saw(engine, tolerance_mV, tiny, leak, hpcfit):
    times = np.arange(0, 30, 0.5)
    rows = [f"{t:g},{0.05 * np.sin(t / 3) ** 2:.6f}" for t in times]
    Path("w.csv").write_text("time_ms,current_nA\n" + "\n".join(rows) + "\n")
    statistics = [
        f'\n[targets."{name}".statistics.soma]\nvoltage_base = [-66, 1]\n'
        for name in ("ramp-1.5", "chirp", "noise", "file", "two")
    ]
    text = tiny(
        ("celsius = 20", 'celsius = 20\nv_init_mV = -68.5\nmechanisms = "mechanisms"'),
        ('all = ["pas"]', 'all = ["pas", "leak"]'),
        ('scale = "log"\nunit = "S/cm2"', 'scale = "log"\ndistribution = "value * (1 + distance / 100)"'),
        (
            'variable = "e_pas"\nregions = ["all"]\nvalue = -65\n',
            'variable = "e_leak"\nbounds = [-75, -65]\n\n'
            '[[parameters]]\nvariable = "Ra"\nregions = ["all"]\nvalue = 120\n',
        ),
        ("workers = 2", f"workers = 2\n{engine}"),
        ("generations = 3", "generations = 2"),
        ("[[scores]]", "".join(statistics) + "\n[[scores]]"),
    )
    fit = text.read_text()
    start, end = fit.index("[[stimuli]]"), fit.index("[targets.step")
    text.write_text(fit[:start] + STIMULI + fit[end:])
    ended = hpcfit("fit", text)
    assert ended.code == 0, ended.err
    best = Path("runs/tiny/best").resolve()
    with h5py.File("runs/tiny/best.h5") as file:
        traces = {
            name: (list(group.attrs["sites"]), group["model_v_mV"][()], group["current_nA"][()])
            for name, group in file.items()
        }
    played = play(best, list(traces))
    assert len(traces) == 6
    for name, (sites, v_mV, current) in traces.items():
        assert sites == ["soma", "dendrite"] and np.ptp(v_mV[0]) > 1.0 and np.ptp(current) > 0.0, name
        for site, trace in zip(sites, v_mV, strict=True):
            theirs = np.array(played[name][site])[: len(trace)]
            assert np.max(np.abs(theirs - trace)) < tolerance_mV, (name, site)
    assert not np.allclose(traces["two"][1][0], traces["two"][1][1], atol=0.1)  # the sites are two places


SYNAPSES = """
[[stimuli]]
name = "synapses"
duration_ms = 40
point_processes = [
    { mechanism = "Exp2Syn", name = "ampa", site = "dendrite", times_ms = [1.0, 12.5, 12.51], weight = 0.01 },
    { mechanism = "Exp2Syn", site = "dendrite", times_ms = [1.0, 20], weight = 0.01, parameters = { e = -90 } },
    { mechanism = "IClamp", parameters = { del = 25, dur = 5, amp = 0.1 } },
]

[[stimuli]]
name = "none"
duration_ms = 40

[[sites]]
name = "dendrite"
region = "basal"
distance_um = 120

[targets.synapses.statistics.soma]
voltage_base = [-66, 1]

[targets.none.statistics.soma]
voltage_base = [-66, 1]

"""


@pytest.mark.parametrize("order", [1, 2])
def test_the_hoc_file_has_the_point_processes(order, tiny, leak, hpcfit):
    text = tiny(
        ("celsius = 20", 'celsius = 20\nmechanisms = "mechanisms"'),
        ('variable = "e_pas"\nregions = ["all"]\nvalue = -65', 'variable = "ampa.weight"\nbounds = [0.005, 0.02]'),
        ("workers = 2", f"workers = 2\norder = {order}"),
        ("generations = 3", "generations = 1"),
        ("[[scores]]", SYNAPSES + "[[scores]]"),
        ('"Spikecount", "AP_amplitude", "voltage_base"', '"voltage_base"'),
    )
    checked = hpcfit("check", text)
    assert checked.code == 0, checked.err
    said = checked.out
    assert "  synapses: ampa, Exp2Syn at dendrite, 3 events of weight 0.01\n" in said
    assert "  synapses: IClamp at soma, no events\n" in said
    assert hpcfit("fit", text).code == 0
    best = Path("runs/tiny/best").resolve()
    with h5py.File("runs/tiny/best.h5") as file:
        traces = {name: (list(group.attrs["sites"]), group["model_v_mV"][()]) for name, group in file.items()}
        assert file["synapses"]["events_ms"][()].tolist() == [1, 1, 12.5, 12.51, 20] and "events_ms" not in file["none"]
    played = play(best, ["none", "synapses", "step", "synapses"])
    for name, (sites, v_mV) in traces.items():
        for site, trace in zip(sites, v_mV, strict=True):
            assert np.max(np.abs(np.array(played[name][site])[: len(trace)] - trace)) < 1e-9, (name, site)
    assert np.ptp(traces["synapses"][1][1]) > 10
