"""Is the generated source also scalar code, of the same voltages, and CUDA device code?

One lane per block is what a device's thread has.  nvcc compiles it here and nothing runs on a device.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.build import HERE
from hpcfit.biophys.engines.batched import BatchedEngine
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.run.processes import Processes

from ..biophys import point_mods
from . import mods

L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc"
STEP = {"shape": "step", "delay_ms": 5, "duration_ms": 40, "amplitude_nA": 0.8}
SWC = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 0 -10 0 1 1
5 3 0 -210 0 1 4
6 4 0 10 0 1.5 1
7 4 0 310 0 0.5 6
8 4 50 500 0 0.4 7
9 4 -50 500 0 0.3 7
"""
# A cell that has what the project's cell has not: tables, branches, a kinetic scheme, events, and free parameters of
# other kinds (edges, a GLOBAL).
REGIONS = {
    "all": ["pas"],
    "somatic": ["NaTs2_t", "SKv3_1", "tghk"],
    "apical": ["NaTs2_t", "tkin"],
    "basal": ["hh", "tshadow"],
}
PARAMETERS = [
    {"variable": "g_pas", "regions": ["all"], "value": 5e-5},
    {"variable": "gSKv3_1bar_SKv3_1", "regions": ["somatic"], "value": 0.3},
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["apical"], "value": 0.01, "distribution": "value*(1+distance/500)"},
    {"variable": "gNaTs2_tbar_NaTs2_t", "regions": ["somatic"], "bounds": [0.3, 0.9]},
    {"variable": "cm", "regions": ["apical"], "bounds": [0.8, 2.5]},
    {"variable": "half_tshadow", "bounds": [0.2, 0.8]},
]
EVENTS = [
    {"mechanism": "TNmda", "site": "dend", "times_ms": [3, 3.0125, 7.5], "weight": 0.004},
    {"mechanism": "Exp2Syn", "site": "soma", "parameters": {"tau1": 0.5, "tau2": 5}, "times_ms": [4], "weight": 0.02},
    {"mechanism": "TClamp", "parameters": {"del": 10, "dur": 20, "amp": 0.3}},
]


def odd_cell(folder):
    """The cell, values for three individuals, and a stimulus with point processes."""
    folder.joinpath("cell.swc").write_text(SWC)
    for name in ("NaTs2_t", "SKv3_1"):
        shutil.copy(L5PC / "mechanisms" / f"{name}.mod", folder)
    for name in ("tghk", "tkin", "tshadow"):
        folder.joinpath(f"{name}.mod").write_text(mods.GOOD[name])
    for name in ("TClamp", "TNmda"):
        folder.joinpath(f"{name}.mod").write_text(point_mods.ALL[name])
    settings = {"morphology": folder / "cell.swc", "mechanisms": folder, "regions": REGIONS, "celsius": 30}
    sites = (SiteSettings(name="soma"), SiteSettings(name="dend", region="apical", distance_um=200.0))
    cell = Cell(
        CellSettings.model_validate(settings), tuple(ParameterSettings.model_validate(one) for one in PARAMETERS), sites
    )
    return cell, np.array([[0.4, 1.0, 0.3], [0.6, 1.5, 0.5], [0.8, 2.0, 0.7]]), EVENTS


def projects_cell(_):
    problem = hpcfit.load(L5PC / "fit.toml")
    return problem.cell, problem.space.random(3, seed=4), []


CELLS = {"project": projects_cell, "odd": odd_cell}


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """engines(cell): its engines in double precision, with vectors and with one lane, and values to simulate."""

    @cache
    def make(name):
        cell, values, points = CELLS[name](tmp_path_factory.mktemp(name))
        described = {"name": "step", "duration_ms": 50, "electrodes": [STEP], "point_processes": points}
        stimuli = (build_stimulus(StimulusSettings.model_validate(described)),)
        settings = EngineSettings(kind="batched", precision="double", record_dt_ms=0.025)
        factory = neuron_factory(cell, stimuli, settings)
        with Processes({SERVICE: factory}, 1) as executor:
            neuron = NeuronEngine(factory, executor)
            return BatchedEngine.of(neuron), BatchedEngine.of(neuron, lanes=1), values

    return make


def voltages(engine, values):
    responses = engine.simulate(values, ["step"])
    assert np.all(responses.status == Status.OK), responses.reasons
    return responses.v_mV[0]


@pytest.mark.parametrize("name", CELLS)
def test_one_lane_gives_the_voltages_of_vectors(engines, name):
    """To rounding: the compiler contracts other sums of products in scalar code."""
    vector, scalar, values = engines(name)
    assert vector.lanes > 1 and scalar.lanes == 1
    theirs, ours = voltages(vector, values), voltages(scalar, values)
    assert np.max(np.abs(theirs - ours)) < 1e-9
    assert np.all(theirs[:, 0].max(axis=1) > 0.0), "the cell is meant to spike"
    assert np.ptp(theirs, axis=0).max() > 1.0, "the parameters are meant to matter"


def nvcc():
    """The CUDA compiler, or a skip: a machine without it has nothing to compile device code with."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    places = os.pathsep.join([os.environ.get("PATH", ""), *(f"{home}/bin" for home in (*homes, "/usr/local/cuda"))])
    found = shutil.which("nvcc", path=places)
    if found is None:
        pytest.skip("no CUDA compiler: nvcc is in none of PATH, CUDA_HOME, /usr/local/cuda/bin")
    return found


def compiled_for_device(source, folder):
    """What nvcc says, and the device's machine code."""
    (folder / "kernel.cu").write_text(source)
    # No host code is made: which versions of g++ nvcc admits for that does not matter.
    command = [nvcc(), "-std=c++17", "-arch=sm_80", "-cubin", "-allow-unsupported-compiler", f"-I{HERE}"]
    done = subprocess.run([*command, "kernel.cu", "-o", "kernel.cubin"], cwd=folder, capture_output=True, text=True)
    code = (folder / "kernel.cubin").read_bytes() if done.returncode == 0 else b""
    return done.stdout + done.stderr, code


@pytest.mark.parametrize(("name", "real"), [("project", "double"), ("odd", "float")])
def test_the_same_source_compiles_as_device_code(engines, tmp_path, name, real):
    _, scalar, _ = engines(name)
    said, code = compiled_for_device(scalar.source.replace("HPCFIT_REAL double", f"HPCFIT_REAL {real}"), tmp_path)
    assert b"hpcfit_cuda_check" in code, said


def test_what_belongs_to_the_host_does_not_compile_as_device_code(engines, tmp_path):
    """Or the test above could not fail."""
    _, scalar, _ = engines("odd")
    declared = "static DEVICE void all_starts("
    assert declared in scalar.source
    said, code = compiled_for_device(scalar.source.replace(declared, "static void all_starts("), tmp_path)
    assert not code and "all_starts" in said


def test_more_lanes_than_one_are_refused_by_the_source(engines, tmp_path):
    vector, _, _ = engines("odd")
    said, code = compiled_for_device(vector.source, tmp_path)
    assert not code and "HPCFIT_LANES must be 1" in said
