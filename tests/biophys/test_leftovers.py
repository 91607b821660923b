"""A simulation depends on none before it, whatever mechanisms leave behind, and equals the first one in NEURON."""

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.errors import MechanismError

SWC = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"
RATES = (
    "DERIVATIVE states { rates(v) h' = (hinf - h) / 5 }\nPROCEDURE rates(v) { hinf = 1 / (1 + exp(-(v + 60) / 5)) }\n"
)
HIDDEN = (
    """NEURON { SUFFIX late NONSPECIFIC_CURRENT i RANGE g }
PARAMETER { g = 1e-4 } ASSIGNED { v i hinf } STATE { h }
BREAKPOINT { SOLVE states METHOD cnexp i = g * h * (v - 20) }
INITIAL { h = hinf rates(v) }
"""
    + RATES
)
"""Its INITIAL takes the steady state of another time, of a variable that no script can reach."""
SHARED = HIDDEN.replace("RANGE g", "RANGE g GLOBAL hinf").replace("h = hinf rates(v)", "h = 0 rates(v) h = hinf * 0.5")
EARLY = SHARED.replace("h = 0 rates(v) h = hinf * 0.5", "h = hinf rates(v)")
SCALED = (
    HIDDEN.replace("RANGE g", "RANGE g GLOBAL tadj")
    .replace("i hinf", "i hinf tadj celsius")
    .replace("h = hinf rates(v)", "tadj = 3^((celsius - 20) / 10) rates(v) h = hinf")
    .replace("(hinf - h) / 5", "(hinf - h) * tadj / 5")
)
"""A GLOBAL that all segments set to the same."""
CURRENT = """NEURON { SUFFIX late USEION ca READ ica WRITE cai NONSPECIFIC_CURRENT i RANGE g, rest }
PARAMETER { g = 1e-4 } ASSIGNED { v i ica rest } STATE { cai }
INITIAL { cai = 1e-4 rest = ica }
BREAKPOINT { SOLVE pool METHOD derivimplicit i = g * 1e3 * cai * (v + 10) }
DERIVATIVE pool { cai' = (rest - ica) * 5 + (1e-4 - cai) / 20 }
"""
"""Its INITIAL reads a current that nothing has computed yet."""
CALCIUM = """NEURON { SUFFIX drive USEION ca READ eca WRITE ica }
ASSIGNED { v eca ica }
BREAKPOINT { ica = 2e-5 * (v - eca) }
"""
STIMULUS = StimulusSettings.model_validate(
    {
        "name": "step",
        "duration_ms": 30,
        "electrodes": [{"shape": "step", "delay_ms": 5, "duration_ms": 25, "amplitude_nA": 0.03}],
    }
)
VALUES = np.array([[1e-5], [8e-4], [3e-4]])


def cell_of(tmp_path, text):
    (tmp_path / "cell.swc").write_text(SWC)
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "late.mod").write_text(text)
    names = ["pas", "late"]
    if text == CURRENT:
        (tmp_path / "mods" / "drive.mod").write_text(CALCIUM)
        names.append("drive")
    described = {"morphology": tmp_path / "cell.swc", "mechanisms": tmp_path / "mods"}
    settings = CellSettings.model_validate({**described, "regions": {"all": names}})
    free = ParameterSettings.model_validate({"variable": "g_late", "regions": ["all"], "bounds": [1e-6, 1e-3]})
    return Cell(settings, (free,), (SiteSettings(name="soma"),))


@pytest.mark.parametrize("text", [HIDDEN, EARLY, CURRENT], ids=["hidden", "global", "current"])
def test_neuron_starts_every_simulation_afresh(tmp_path, text):
    cell = cell_of(tmp_path, text)
    one = EngineSettings(workers=1)
    together = hpcfit.simulate(cell, VALUES, [STIMULUS], one).v_mV[0]
    turned = hpcfit.simulate(cell, VALUES[::-1], [STIMULUS], one).v_mV[0][::-1]
    alone = hpcfit.simulate(cell, VALUES[2:], [STIMULUS], one).v_mV[0]
    assert np.array_equal(together, turned)
    assert np.array_equal(together[2:], alone)
    assert np.ptp(together[:, 0, -1]) > 0.1


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("text", [HIDDEN, CURRENT], ids=["hidden", "current"])
def test_batched_starts_as_neuron_does_the_first_time(tmp_path, text, order):
    cell = cell_of(tmp_path, text)
    theirs = hpcfit.simulate(cell, VALUES, [STIMULUS], EngineSettings(workers=1, order=order)).v_mV[0]
    batched = EngineSettings(kind="batched", precision="double", workers=1, order=order)
    # Twice, and more than a block of lanes at once: memory that was used before is not read.
    for values in (VALUES, np.tile(VALUES, (20, 1))):
        ours = hpcfit.simulate(cell, values, [STIMULUS], batched).v_mV[0]
        assert np.max(np.abs(ours - np.tile(theirs, (len(values) // 3, 1, 1)))) < 1e-8


def test_a_global_between_segments_is_refused_with_its_line(tmp_path):
    file = tmp_path / "late.mod"
    file.write_text(EARLY)
    with pytest.raises(MechanismError, match=r"late\.mod, line 2: GLOBAL hinf carries .* make it RANGE"):
        read_mechanism(file)


def test_a_global_that_each_block_sets_before_it_reads_is_not(tmp_path):
    file = tmp_path / "late.mod"
    file.write_text(SHARED)
    assert read_mechanism(file).assigned == ()
    file.write_text(SCALED)
    assert read_mechanism(file).assigned == ("tadj",)
