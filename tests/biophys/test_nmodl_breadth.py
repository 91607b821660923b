"""Do constructs of NMODL that real models use compute what NEURON computes, and are others refused in full?"""

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.nmodl.check import check_file
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.jobs.mechanisms import check_mechanisms, report

SOMA = "1 1 0 0 0 10 -1\n2 1 0 -10 0 10 1\n3 1 0 10 0 10 1\n"
HEAD = """NEURON { SUFFIX %s
    NONSPECIFIC_CURRENT i
    RANGE g
    %s
}
PARAMETER { g = 1e-4 %s }
"""
MECHANISMS = {
    # a branch within a branch, and truth as a number
    "nested": (
        "",
        "",
        """ASSIGNED { v i f }
BREAKPOINT {
    f = 0.1 + (v > -60) * 0.3
    if (v > -75) {
        if (v > -55) { f = f + 0.5 } else { if (v > -65) { f = f + 0.2 } else { f = f - 0.05 } }
    }
    i = g * f * (v + 40)
}""",
    ),
    # a branch on what all compartments share
    "timed": (
        "",
        "",
        """ASSIGNED { v i up }
BREAKPOINT {
    up = 0
    if (t > 5 && t < 10) { up = 1 }
    i = g * (1 + up) * (v + 40)
}""",
    ),
    # arrays of a DEFINEd size, FROM loops, a kinetic scheme over shells with volumes
    "shells": (
        "USEION ca WRITE cai, ica",
        "d = 0.3",
        """DEFINE N 4
STATE { c[N] }
ASSIGNED { v i cai ica vol[N] }
INITIAL { FROM k = 0 TO N-1 { vol[k] = 1 + k  c[k] = 1e-4 * (k + 1) } cai = c[0] }
BREAKPOINT { SOLVE move METHOD sparse  ica = 1e-5 * (v - 60)  i = g * c[N-1] * 3e3 * (v + 20) }
KINETIC move {
    COMPARTMENT k, vol[k] { c }
    ~ c[0] << (1e-3 - ica * 2e-2)
    FROM k = 0 TO N-2 { ~ c[k] <-> c[k+1] (d, d) }
    ~ c[N-1] -> (0.05)
    cai = c[0]
}""",
    ),
    # a rate that depends on a state, and CONSERVE: NEURON's Jacobian takes the rate for a constant
    "lagged": (
        "",
        "",
        """STATE { a b p q }
ASSIGNED { v i }
INITIAL { a = 0.7  b = 0.3  p = 1  q = 0 }
BREAKPOINT { SOLVE move METHOD sparse  i = g * b * (v + 10) }
KINETIC move {
    ~ p <-> q (exp(v / 30), 0.2)
    ~ a <-> b ((0.1 + 2 * q * q), 0.3)
    CONSERVE a + b = 1
    CONSERVE p + q = 1
}""",
    ),
    # implicit steps, which take half a step and extrapolate in second order
    "implicit": (
        "",
        "",
        """STATE { m }
ASSIGNED { v i }
INITIAL { m = 0.2 }
BREAKPOINT { SOLVE move METHOD derivimplicit  i = g * m * (v + 30) }
DERIVATIVE move { m' = (1 / (1 + exp(-(v + 60) / 8)) - m) / (2 + m) }""",
    ),
    # a PARAMETER that is assigned, one named like a reversal potential, a current that an equation reads
    "kept": (
        "USEION k WRITE ik",
        "ek = -90 shift = 3",
        """STATE { w }
ASSIGNED { v i ik }
INITIAL { shift = shift * 2  w = 0.1 }
BREAKPOINT { SOLVE move METHOD cnexp  ik = 1e-5 * w * (v - ek + shift)  i = g * w * (v + 60) }
DERIVATIVE move { w' = (0.5 + 1e3 * i - w) / 10 }""",
    ),
    # what a mechanism only READs, assigned; library functions
    "library": (
        "USEION na READ ena WRITE ina",
        "",
        """ASSIGNED { v i ina ena x }
BREAKPOINT {
    ena = 45
    x = atan(v / 20) + fmod(v, 7) / 10 + floor(v / 30) + ceil(v / 40) + fabs(v) ^ 0.3
    x = x + pow(2, v / 50) + log10(fabs(v) + 1)
    i = g * x * 0.1
    ina = 2e-6 * (v - ena)
}""",
    ),
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    folder = tmp_path_factory.mktemp("breadth")
    (folder / "mods").mkdir()
    for name, (neuron, parameters, body) in MECHANISMS.items():
        (folder / "mods" / f"{name}.mod").write_text(HEAD % (f"b{name}", neuron, parameters) + body)
    (folder / "cell.swc").write_text(SOMA)
    settings = {"morphology": folder / "cell.swc", "mechanisms": folder / "mods"}
    regions = {"all": ["pas", *(f"b{name}" for name in MECHANISMS)]}
    parameters = [
        {"variable": "g_pas", "regions": ["all"], "value": 1e-4},
        {"variable": "v_init", "bounds": [-90, -50]},
    ]
    parameters += [{"variable": f"g_b{name}", "regions": ["all"], "bounds": [0, 1e-3]} for name in MECHANISMS]
    return Cell(
        CellSettings.model_validate({**settings, "regions": regions}),
        tuple(ParameterSettings.model_validate(one) for one in parameters),
        (SiteSettings(name="soma"),),
    )


STEPS = StimulusSettings.model_validate(
    {
        "name": "steps",
        "duration_ms": 40,
        "electrodes": [
            {"shape": "step", "delay_ms": 2, "duration_ms": 15, "amplitude_nA": -0.05},
            {"shape": "ramp", "delay_ms": 18, "duration_ms": 20, "end_nA": 0.15},
        ],
    }
)


@pytest.mark.parametrize("order", [1, 2])
def test_each_construct_is_what_neuron_makes_of_it(cell, order):
    """One individual for each mechanism, with the others' conductances at zero: a failure names its row."""
    values = np.column_stack([np.linspace(-85, -55, len(MECHANISMS)), 5e-4 * np.eye(len(MECHANISMS))])
    neuron = hpcfit.simulate(cell, values, [STEPS], EngineSettings(order=order))
    batched = hpcfit.simulate(cell, values, [STEPS], EngineSettings(kind="batched", order=order, precision="double"))
    assert np.all(neuron.status == Status.OK), neuron.reasons
    off = {
        name: float(np.max(np.abs(ours - theirs)))
        for name, ours, theirs in zip(MECHANISMS, batched.v_mV[0], neuron.v_mV[0], strict=True)
    }
    assert max(off.values()) < 1e-8, off


def test_a_bare_sum_as_a_rate_is_refused_since_neuron_takes_only_its_last_term_times_the_species(tmp_path):
    neuron, parameters, body = MECHANISMS["lagged"]
    text = (HEAD % ("sum", neuron, parameters) + body).replace("((0.1 + 2 * q * q), 0.3)", "(0.1 + 2 * q * q, 0.3)")
    (tmp_path / "sum.mod").write_text(text)
    (refusal,) = check_file(tmp_path / "sum.mod").refusals
    assert "put the rate into parentheses" in refusal.what
    assert text.splitlines()[refusal.line - 1].startswith("    ~ a <-> b")


def test_check_reports_every_refusal_with_its_line_and_counts(tmp_path):
    (tmp_path / "bad.mod").write_text(
        "NEURON { SUFFIX bad\n POINTER p\n RANDOM r\n}\nASSIGNED { p v }\n\nBEFORE STEP { p = 1 }\n"
    )
    (tmp_path / "good.mod").write_text(
        "NEURON { SUFFIX good NONSPECIFIC_CURRENT i }\nASSIGNED { v i }\nBREAKPOINT { i = f(v) }\n"
        "FUNCTION f(x) { TABLE FROM -100 TO 100 WITH 50\n f = 1e-5 * x }\n"
    )
    refused = check_file(tmp_path / "bad.mod").refusals
    assert [finding.line for finding in refused] == [2, 3, 7]
    rows = check_mechanisms([tmp_path])
    assert [row.good for row in rows] == [False, True]
    assert [remark.line for remark in rows[1].checked.remarks] == [4]
    assert report(rows).splitlines()[-1] == "2 files: 1 translated, 1 refused"


def test_point_processes_are_compared_too_and_what_events_make_untranslatable_is_refused(tmp_path):
    synapse = "NEURON { POINT_PROCESS syn NONSPECIFIC_CURRENT i RANGE tau }\nPARAMETER { tau = 3 } ASSIGNED { v i }\n"
    synapse += "STATE { g }\nINITIAL { g = 0 }\nBREAKPOINT { SOLVE fall METHOD cnexp i = g * v }\n"
    synapse += "DERIVATIVE fall { g' = -g / tau }\n"
    (tmp_path / "syn.mod").write_text(synapse + "NET_RECEIVE(w) { g = g + w }\n")
    (tmp_path / "sending.mod").write_text(synapse + "NET_RECEIVE(w) {\n if (flag == 0) { net_send(g, 1) }\n}\n")
    sending, plain = check_mechanisms([tmp_path], against_neuron=True, orders=(2,))
    assert plain.trial.verdict == "same" and plain.trial.effect_mV > 1
    assert sending.trial.verdict == "refused" and "sending.mod, line 8: " in sending.trial.reason and not sending.good
