"""Does a free parameter of a gate's kinetics reach the gate, though gates of fixed kinetics are tables?"""

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings

SWC = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"
MOD = """NEURON { SUFFIX gated
    NONSPECIFIC_CURRENT i
    RANGE g, half
}
PARAMETER { g = 1e-3 half = -50 }
ASSIGNED { v i }
STATE { m }
BREAKPOINT { SOLVE states METHOD cnexp
    i = g * m * (v + 20)
}
INITIAL { m = 0 }
DERIVATIVE states { m' = (1 / (1 + exp((half - v) / 5)) - m) / 3 }
"""
STEP = {"shape": "step", "delay_ms": 2, "duration_ms": 20, "amplitude_nA": 0.05}
STIMULUS = StimulusSettings.model_validate({"name": "step", "duration_ms": 25, "electrodes": [STEP]})


@pytest.mark.parametrize(("precision", "bound_mV"), [("double", 1e-7), ("single", 2e-3)])
def test_a_free_half_activation_shifts_every_individuals_gate(tmp_path, precision, bound_mV):
    (tmp_path / "cell.swc").write_text(SWC)
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "gated.mod").write_text(MOD)
    regions = {"all": ["pas", "gated"]}
    described = {"morphology": tmp_path / "cell.swc", "mechanisms": tmp_path / "mods", "regions": regions}
    free = {"variable": "half_gated", "regions": ["all"], "bounds": [-70, -30]}
    parameters = (ParameterSettings.model_validate(free),)
    cell = Cell(CellSettings.model_validate(described), parameters, (SiteSettings(name="soma"),))
    values = np.array([[-65.0], [-50.0], [-40.0]])
    theirs = hpcfit.simulate(cell, values, [STIMULUS]).v_mV[0]
    ours = hpcfit.simulate(cell, values, [STIMULUS], EngineSettings(kind="batched", precision=precision)).v_mV[0]
    assert np.max(np.abs(theirs - ours)) < bound_mV
    assert np.max(np.abs(theirs[0] - theirs[2])) > 1.0, "the parameter is meant to matter"
