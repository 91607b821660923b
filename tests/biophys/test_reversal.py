"""Reversal potentials where concentrations vanish or an ion has no charge, as NEURON's nernst() has them."""

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.errors import MechanismError

SWC = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"
POOL = """NEURON { SUFFIX pool
    USEION q READ qi WRITE qi %s
}
STATE { qi }
INITIAL { qi = 0 }
BREAKPOINT { SOLVE states METHOD cnexp }
DERIVATIVE states { qi' = (%s - qi) / 10 }
"""
READER = """NEURON { SUFFIX reader
    USEION q READ eq WRITE iq %s
    RANGE g
}
PARAMETER { g = 1e-9 }
ASSIGNED { v eq iq }
BREAKPOINT { iq = g * (v - eq) }
"""
STIMULUS = StimulusSettings.model_validate({"name": "rest", "duration_ms": 20})


@pytest.mark.parametrize(("valence", "target"), [("VALENCE 2", "0"), ("VALENCE 2", "0.5"), ("", "0.5")])
def test_nothing_inside_and_no_charge(tmp_path, valence, target):
    (tmp_path / "cell.swc").write_text(SWC)
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "pool.mod").write_text(POOL % (valence, target))
    (tmp_path / "mods" / "reader.mod").write_text(READER % valence)
    described = {"morphology": tmp_path / "cell.swc", "mechanisms": tmp_path / "mods"}
    settings = CellSettings.model_validate({**described, "regions": {"all": ["pas", "pool", "reader"]}})
    free = ParameterSettings.model_validate({"variable": "g_reader", "regions": ["all"], "bounds": [1e-10, 1e-8]})
    cell = Cell(settings, (free,), (SiteSettings(name="soma"),))
    values = np.array([[2e-10], [5e-9]])
    theirs = hpcfit.simulate(cell, values, [STIMULUS]).v_mV[0]
    ours = hpcfit.simulate(cell, values, [STIMULUS], EngineSettings(kind="batched", precision="double")).v_mV[0]
    assert np.all(np.isfinite(theirs)) and np.max(np.abs(theirs - ours)) < 1e-8
    # A current of 1e6 mV: for as long as there is nothing inside, which is the first step, or all of the time.
    assert np.max(np.abs(theirs[0] - theirs[1])) > (1.0 if target == "0" else 0.05)


def test_a_mechanism_that_writes_a_reversal_potential_is_refused_with_its_line(tmp_path):
    file = tmp_path / "writer.mod"
    file.write_text("NEURON { SUFFIX writer\n    USEION ca READ cai WRITE eca\n}\nASSIGNED { cai eca }\n")
    with pytest.raises(MechanismError, match=r"writer\.mod, line 2: WRITE eca: .* is not translated"):
        read_mechanism(file)
