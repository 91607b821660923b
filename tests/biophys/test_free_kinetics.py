"""Gates of fixed kinetics are tables: what is free, or does more than advance its gate, must not be taken for one."""

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
LASTING = """NEURON { SUFFIX gated
    NONSPECIFIC_CURRENT i
    RANGE g
}
PARAMETER { g = 1e-3 }
ASSIGNED { v i factor count }
STATE { m }
BREAKPOINT { SOLVE states METHOD cnexp
    i = g * factor * (1 + count / 100) * m * (v + 20)
}
INITIAL { m = 0 factor = 1 count = 0 }
DERIVATIVE states {
    factor = 1 + 1 / (1 + exp(-v / 10))
    count = count + 1
    m' = (1 / (1 + exp((-50 - v) / 5)) - m) / 3
}
"""
STEP = {"shape": "step", "delay_ms": 2, "duration_ms": 20, "amplitude_nA": 0.05}
STIMULUS = StimulusSettings.model_validate({"name": "step", "duration_ms": 25, "electrodes": [STEP]})


PRECISIONS = pytest.mark.parametrize(("precision", "bound_mV"), [("double", 1e-7), ("single", 2e-3)])


@pytest.fixture
def cell(tmp_path):
    """cell(text of a .mod file, free parameter)"""

    def make(text, free):
        (tmp_path / "cell.swc").write_text(SWC)
        (tmp_path / "mods").mkdir()
        (tmp_path / "mods" / "gated.mod").write_text(text)
        regions = {"all": ["pas", "gated"]}
        described = {"morphology": tmp_path / "cell.swc", "mechanisms": tmp_path / "mods", "regions": regions}
        parameters = (ParameterSettings.model_validate({"regions": ["all"], **free}),)
        return Cell(CellSettings.model_validate(described), parameters, (SiteSettings(name="soma"),))

    return make


def both(cell, values, precision):
    theirs = hpcfit.simulate(cell, np.array(values), [STIMULUS]).v_mV[0]
    engine = EngineSettings(kind="batched", precision=precision)
    return theirs, hpcfit.simulate(cell, np.array(values), [STIMULUS], engine).v_mV[0]


@PRECISIONS
def test_a_free_half_activation_shifts_every_individuals_gate(cell, precision, bound_mV):
    free = {"variable": "half_gated", "bounds": [-70, -30]}
    theirs, ours = both(cell(MOD, free), [[-65.0], [-50.0], [-40.0]], precision)
    assert np.max(np.abs(theirs - ours)) < bound_mV
    assert np.max(np.abs(theirs[0] - theirs[2])) > 1.0, "the parameter is meant to matter"


@PRECISIONS
def test_what_equations_leave_for_the_current_is_kept(cell, precision, bound_mV):
    """`factor` is set beside the gate's equation and read by BREAKPOINT; `count` goes on from step to step."""
    theirs, ours = both(cell(LASTING, {"variable": "g_gated", "bounds": [1e-4, 1e-2]}), [[2e-4], [1e-3]], precision)
    assert np.max(np.abs(theirs - ours)) < bound_mV
    assert np.max(np.abs(theirs[0] - theirs[1])) > 1.0
