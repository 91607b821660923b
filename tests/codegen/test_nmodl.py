"""Do mechanisms that are read, solved and interpreted here do what NEURON's own compiled ones do?"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from hpcfit.biophys.codegen.algebra import assigned_in
from hpcfit.biophys.codegen.ir import Assign, Binary, Call, If, Name, Number
from hpcfit.biophys.codegen.optimise import folded, needed
from hpcfit.biophys.engines.mod_files import compiled
from hpcfit.biophys.engines.nmodl import read_mechanism, run
from hpcfit.errors import MechanismError

from . import mods, twin

L5 = Path(__file__).resolve().parents[2] / "data/l5pc/mechanisms"
L5_NAMES = sorted(file.stem for file in L5.glob("*.mod"))

# NEURON stops Newton's iterations at 1e-8 (derivimplicit) or 1e-6 (sparse); its step by cnexp cancels in 1 - exp(dt a),
# so that slow states of 1e-6 keep 11 digits over 50 steps.
LATER = {"timp": 1e-7, "tbuf": 1e-9, "tlin": 1e-11}
MORE = {
    "CaDynamics_E2": {"companions": ["Ca_HVA"]},
    "SK_E2": {"ions": {"cai": 4e-4}},
    "tkin": {"globals": {"usetable_tkin": 0}},
    "tghk": {"ions": {"cai": 3e-4}, "celsius": 31.0},
    "tshadow": {"ions": {"cai": 2e-3}, "celsius": 35.0},
    "tnone": {"parameters": {"offset": 12.0}},
    "TElec": {"parameters": {"amp": 1.5, "e": -33.0}},
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """All mechanisms of the tests, as .mod files."""
    place = tmp_path_factory.mktemp("mods")
    for name, text in mods.GOOD.items():
        (place / f"{name}.mod").write_text(text)
    for file in L5.glob("*.mod"):
        shutil.copy(file, place)
    return place


@pytest.fixture(scope="session")
def compared(folder):
    """Of each mechanism, how far the twin is from NEURON."""
    read = {file.stem: read_mechanism(file) for file in sorted(folder.glob("*.mod"))}
    jobs = {name: twin.job_of(m, **MORE.get(name, {})) for name, m in read.items()}
    answers = dict(zip(jobs, twin.ask_neuron(compiled(folder), list(jobs.values())), strict=True))
    assert not [a for a in answers.values() if "error" in a], answers
    return {name: twin.differences(m, jobs[name], answers[name]) for name, m in read.items()}


@pytest.mark.parametrize("name", [*L5_NAMES, *mods.GOOD])
def test_twin_equals_neuron(compared, name):
    differences = compared[name]
    assert differences
    for what, difference in differences.items():
        first = what.endswith(("initially", "step"))
        allowed = LATER.get(name, 1e-12 if first else 1e-11)
        assert difference <= (1e-12 if what.endswith("initially") else allowed), what


def test_the_cells_channels_are_all_there():
    assert len(L5_NAMES) == 12


@pytest.mark.parametrize("name", [n for n in L5_NAMES if n != "CaDynamics_E2"])
def test_conductances_of_the_l5_channels_are_exact(name):
    mechanism = read_mechanism(L5 / f"{name}.mod")
    assert [c.conductance is not None for c in mechanism.currents] == [True]


def test_what_is_declared_where(folder):
    sk = read_mechanism(folder / "SK_E2.mod")
    assert dict(sk.parameters) == {"gSK_E2bar": 1e-6} and sk.globals_ == ("zTau",) and sk.states == ("z",)
    assert [(i.name, i.reads, i.writes) for i in sk.ions] == [("k", ("ek",), ("ik",)), ("ca", ("cai",), ())]
    shell = read_mechanism(folder / "CaDynamics_E2.mod")
    assert shell.states == () and shell.constants["F"] == pytest.approx(96485.33212331001, rel=1e-15)
    kept = read_mechanism(folder / "tkept.mod")
    assert kept.assigned == ("drive", "scale")
    none = read_mechanism(folder / "tnone.mod")
    assert none.state_initials == {"m": 0.3, "n": 0.25, "u": 0.0} and none.parameters == {"offset": 0.0}
    electrode = read_mechanism(folder / "TElec.mod")
    assert electrode.kind == "point_process" and [c.electrode for c in electrode.currents] == [True]


def test_a_current_not_linear_in_v_has_no_conductance(folder):
    assert [c.conductance for c in read_mechanism(folder / "tghk.mod").currents] == [None]
    assert [c.conductance for c in read_mechanism(folder / "tnone.mod").currents] == [None]


def test_constants_are_those_of_neuron(folder):
    job = twin.job_of(read_mechanism(folder / "tv.mod"), steps=0)
    (answer,) = twin.ask_neuron(compiled(folder), [job])
    ghk = read_mechanism(folder / "tghk.mod")
    assert [ghk.constants[n] for n in "FR"] == pytest.approx([answer["F"], answer["R"]], rel=1e-15)


@pytest.mark.parametrize(("place", "text", "line", "says"), mods.REFUSED, ids=[str(r[3]) for r in mods.REFUSED])
def test_what_is_not_translated_is_refused_with_its_line(tmp_path, place, text, line, says):
    file = tmp_path / "bad.mod"
    file.write_text(mods.FRAME.format(**{**mods.PLAIN, place: text}))
    with pytest.raises(MechanismError) as error:
        read_mechanism(file)
    assert says in str(error.value) and f"{file}, line {line}:" in str(error.value)


def test_plain_frame_is_read(tmp_path):
    file = tmp_path / "good.mod"
    file.write_text(mods.FRAME.format(**mods.PLAIN))
    assert read_mechanism(file).states == ("m",)


def test_branches_run_by_mask():
    x = {"a": np.array([-1.0, 2.0]), "b": 5.0}
    run([If(Binary("<", Name("a"), Number(0.0)), (Assign("b", Number(1.0)),), (Assign("c", Name("a")),))], x)
    assert x["b"].tolist() == [1.0, 5.0] and x["c"][1] == 2.0 and np.isnan(x["c"][0])


def test_folding_and_removal():
    two = Binary("^", Number(2.0), Binary("-", Number(3.0), Number(2.0)))
    block = [Assign("a", two), Assign("b", Call("exp", (Name("a"),))), Assign("b", Name("a")), Assign("c", Name("b"))]
    assert folded(block)[0] == Assign("a", Number(2.0))
    assert assigned_in(needed(block, ["b"])) == {"a", "b"} and len(needed(block, ["b"])) == 2
