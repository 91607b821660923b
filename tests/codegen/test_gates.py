"""Do gates' polynomials hold what they promise, with no more terms than that takes?"""

from pathlib import Path

import numpy as np
import pytest

from hpcfit.biophys.codegen.gates import Grid, fit_gates, grid_for, voltage_gates
from hpcfit.biophys.codegen.interpret import run
from hpcfit.biophys.engines.nmodl import read_mechanism

MECHANISMS = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "mechanisms"
GATED = ("Ih", "Im", "NaTs2_t", "SKv3_1", "K_Pst", "Ca_LVAst")


def values(mechanism, dt_ms=0.025):
    return {**mechanism.parameters, **mechanism.constants, "dt": dt_ms, "celsius": 34.0}


def exact(mechanism, state, v_mV, start, dt_ms=0.025):
    """One step of a state by the mechanism's own statements."""
    variables = {**values(mechanism, dt_ms), **dict.fromkeys(mechanism.states, start), "v": v_mV}
    run(mechanism.advance, variables)
    return np.broadcast_to(variables[state], v_mV.shape)


def by_table(gates, name, state, v_mV, start):
    """The same by the polynomials."""
    one, grid = gates.mechanisms[name], gates.grid
    place = (v_mV - one.low_mV) / grid.width_mV
    index = np.floor(place).astype(int)
    u = place - index - 0.5
    table = one.tables[state]
    a, b = (sum(row[index] * u**power for power, row in enumerate(rows)) for rows in (table.a, table.b))
    return start + b - a * start, a


@pytest.mark.parametrize(("real", "lanes"), [("f4", 16), ("f4", 8), ("f8", 8), ("f8", 4)])
@pytest.mark.parametrize("name", GATED)
def test_a_step_is_exact_to_the_tolerance_over_all_voltages(name, real, lanes):
    mechanism, grid = read_mechanism(MECHANISMS / f"{name}.mod"), grid_for(np.dtype(real), lanes)
    assert voltage_gates(mechanism, values(mechanism))
    gates = fit_gates([mechanism], {name: values(mechanism)}, grid)
    low = gates.mechanisms[name].low_mV
    v_mV = np.random.default_rng(1).uniform(low, low + grid.width_mV * grid.segments, 20000)
    for state in mechanism.states:
        for start in (0.0, 0.3, 1.0):
            found, a = by_table(gates, name, state, v_mV, start)
            error = np.abs(found - exact(mechanism, state, v_mV, start)) / a
            assert np.max(error) < 3 * grid.tolerance  # of a and of b, and what rounding adds


def test_no_more_terms_than_the_tolerance_takes():
    mechanism = read_mechanism(MECHANISMS / "NaTs2_t.mod")
    powers = []
    for tolerance in (1e-3, 1e-5, 1e-9):
        gates = fit_gates([mechanism], {"NaTs2_t": values(mechanism)}, Grid(32, 6.0, tolerance, 17))
        powers.append(sum(len(table.a) + len(table.b) for table in gates.mechanisms["NaTs2_t"].tables.values()))
    assert powers[0] < powers[1] < powers[2]


def test_a_gate_that_branches_has_a_boundary_there_and_others_share_theirs():
    names = ("Ih", "K_Pst", "NaTs2_t")  # K_Pst's time constant jumps at -50 - 10 mV
    mechanisms = [read_mechanism(MECHANISMS / f"{name}.mod") for name in names]
    gates = fit_gates(mechanisms, {one.name: values(one) for one in mechanisms}, grid_for(np.dtype("f4"), 16))
    starts = {name: gates.mechanisms[name].low_mV for name in names}
    assert (-60.0 - starts["K_Pst"]) % gates.grid.width_mV == pytest.approx(0.0)
    assert len(gates.starts_mV) <= 2


def test_a_gate_that_cannot_be_fitted_keeps_its_statements():
    mechanism = read_mechanism(MECHANISMS / "K_Pst.mod")
    assert fit_gates([mechanism], {"K_Pst": values(mechanism)}, Grid(32, 6.0, 1e-12, 4)).mechanisms == {}
    calcium = read_mechanism(MECHANISMS / "SK_E2.mod")
    assert not voltage_gates(calcium, values(calcium)), "its gate follows calcium"
