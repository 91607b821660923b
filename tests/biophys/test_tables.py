"""Are TABLE statements honoured as NEURON honours them, and ignored where that is asked for?"""

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.mod_files import compiled
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.errors import MechanismError

from ..codegen import twin

# Coarse tables, so that they matter; one is left by the voltage on both sides; one is of a concentration.
TABLED = """
NEURON { SUFFIX ttab USEION ca READ cai, eca WRITE ica RANGE g, ica GLOBAL half, slope }
PARAMETER { g = 2e-4 (S/cm2) half = -45 (mV) slope = 9 celsius }
STATE { m h z }
ASSIGNED { v (mV) eca (mV) cai (mM) ica (mA/cm2) minf mtau hinf }
INITIAL { rates(v) m = minf h = hinf z = taken(cai) }
BREAKPOINT { SOLVE states METHOD cnexp  ica = g*m*h*(1 + z)*leak(v)*(v - eca) }
DERIVATIVE states {
    rates(v)
    m' = (minf - m)/mtau
    h' = (hinf - h)/12
    z' = (taken(cai) - z)/5
}
FUNCTION bell(u) { TABLE FROM -80 TO 20 WITH 7  bell = exp(-(u + 50)*(u + 50)/400) }
PROCEDURE rates(u (mV)) {
    LOCAL q
    TABLE minf, mtau, hinf DEPEND celsius, half, slope FROM -70 TO -70 + 35 WITH 9
    q = 3^((celsius - 23)/10)
    minf = 1/(1 + exp(-(u - half)/slope))
    mtau = (1 + 2*bell(u))/q
    hinf = 1 - 0.5*minf
}
FUNCTION taken(c (mM)) { TABLE DEPEND celsius FROM 0 TO 1e-3 WITH 5  taken = c/(c + 2e-4) }
FUNCTION leak(u) { TABLE FROM -100 TO 50 WITH 3  leak = 1 + u*u*1e-4 }
"""
LINE = 1 + next(number for number, line in enumerate(TABLED.splitlines()) if "TABLE minf" in line)
SWC = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"


SAME = 1e-7
"""mV or ms: what gates' polynomials, exact to 1e-11 in double precision, leave at a spike; else 1e-9."""


@pytest.fixture(scope="session")
def tabled(tmp_path_factory):
    place = tmp_path_factory.mktemp("tables")
    (place / "ttab.mod").write_text(TABLED)
    return place


@pytest.fixture
def cell(tmp_path, tabled):
    (tmp_path / "cell.swc").write_text(SWC)

    def make(**free):
        described = {
            "morphology": tmp_path / "cell.swc",
            "mechanisms": tabled,
            "regions": {"somatic": ["hh", "ttab"]},
            "celsius": 16,
        }
        parameter = ParameterSettings.model_validate(free)
        return Cell(CellSettings.model_validate(described), (parameter,), (SiteSettings(name="soma"),))

    return make


STEP = {"shape": "step", "delay_ms": 5, "duration_ms": 30, "amplitude_nA": 0.5}
STIMULUS = StimulusSettings.model_validate({"name": "step", "duration_ms": 40, "electrodes": [STEP]})
DENSITY = {"variable": "g_ttab", "regions": ["somatic"], "bounds": [1e-5, 1e-2]}


def voltage(cell, values=((1e-4,), (5e-4,)), **engine):
    engine = {"record_dt_ms": 0.025, **engine}
    responses = hpcfit.simulate(cell, np.array(values), [STIMULUS], EngineSettings(**engine))
    assert np.all(responses.status == Status.OK), responses.reasons
    return responses.v_mV[0][:, 0]


@pytest.mark.parametrize("order", [1, 2])
def test_honoured_and_ignored_as_neuron_does(cell, order):
    found = {}
    for tables in ("honour", "ignore"):
        found[tables] = voltage(cell(**DENSITY), order=order, tables=tables)
        ours = voltage(cell(**DENSITY), order=order, kind="batched", precision="double", tables=tables)
        assert np.max(np.abs(found[tables] - ours)) < SAME, tables
    assert np.max(np.abs(found["honour"] - found["ignore"])) > 1.0 and found["honour"].max() > 0.0


def test_defaults_double_honours_single_does_not(cell):
    double = EngineSettings(kind="batched", precision="double")
    assert double.tables_honoured and EngineSettings().tables_honoured
    assert not EngineSettings(kind="batched").tables_honoured
    theirs, ours = (voltage(cell(**DENSITY), **engine) for engine in ({}, {"kind": "batched", "precision": "double"}))
    assert np.max(np.abs(theirs - ours)) < SAME
    theirs, ours = (voltage(cell(**DENSITY), tables="ignore", kind=kind) for kind in ("neuron", "batched"))
    assert np.max(np.abs(theirs - ours)) < 1e-2  # single precision


def test_a_table_of_what_differs_between_individuals_is_refused(cell, tabled):
    free = {"variable": "half_ttab", "bounds": [-50, -40]}
    said = f"ttab.mod, line {LINE}: TABLE is made from half, .* set engine.tables = 'ignore'"
    with pytest.raises(MechanismError, match=said):
        voltage(cell(**free), [[-45]], kind="batched", tables="honour")
    values = [[-47], [-44]]
    theirs = voltage(cell(**free), values, tables="ignore")
    ours = voltage(cell(**free), values, kind="batched", precision="double", tables="ignore")
    assert np.max(np.abs(theirs - ours)) < SAME


@pytest.mark.parametrize("tables", [True, False])
def test_the_twin_looks_up_as_neuron_does(tabled, tables):
    mechanism = read_mechanism(tabled / "ttab.mod", tables=tables)
    assert bool(mechanism.tables) == tables
    job = twin.job_of(mechanism, ions={"cai": 3e-4}, globals={"usetable_ttab": int(tables)})
    (answer,) = twin.ask_neuron(compiled(tabled), [job])
    assert max(twin.differences(mechanism, job, answer).values()) < 1e-11


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rates(u (mV))": "rates(u (mV), w)", "rates(v)": "rates(v, 1)"}, "a table has one"),
        ({"WITH 9": "WITH half"}, "number"),
    ],
)
def test_a_table_that_is_none(tmp_path, changes, says):
    text = TABLED
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "bad.mod").write_text(text)
    with pytest.raises(MechanismError, match=f"line {LINE}: TABLE .*{says}"):
        read_mechanism(tmp_path / "bad.mod", tables=True)


def test_a_table_that_neuron_fills_from_one_not_yet_filled(tmp_path):
    bell = next(line for line in TABLED.splitlines() if "FUNCTION bell" in line)
    (tmp_path / "late.mod").write_text(TABLED.replace(bell, "") + bell)
    with pytest.raises(MechanismError, match=r"late.mod, line 25: TABLE in bell is used by the TABLE in rates"):
        read_mechanism(tmp_path / "late.mod", tables=True)
    assert read_mechanism(tmp_path / "late.mod").tables == {}
