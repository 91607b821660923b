"""Does CoreNEURON compute what NEURON computes, whoever shares the block, and survive bad individuals?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.biophys.cell import Cell
from hpcfit.biophys.engines.core_mod_files import compiled_for_coreneuron
from hpcfit.biophys.engines.coreneuron import CoreNeuronEngine
from hpcfit.biophys.engines.coreneuron_service import COPIES
from hpcfit.biophys.engines.interface import Responses, Status
from hpcfit.biophys.engines.neuron import NeuronEngine, neuron_factory
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings
from hpcfit.errors import ConfigError, EngineError, MechanismError
from hpcfit.population.executor import Fate, Outcome, Task
from hpcfit.population.ledger import Ledger, same_numbers

L5PC = Path(__file__).resolve().parents[2] / "data" / "l5pc"
TOLERANCE_MV = 1e-5
"""Of the same equations and steps: exp of another library, sums in another order, and a spike to amplify both."""

BALL = """\
1 1 0 0 0 10 -1
2 1 0 -10 0 10 1
3 1 0 10 0 10 1
4 3 0 -10 0 1 1
5 3 0 -210 0 1 4
"""
GATE = """\
NEURON {
    SUFFIX gate
    NONSPECIFIC_CURRENT i
    RANGE g
    GLOBAL e, tau
}
PARAMETER {
    g = 1e-4 (S/cm2)
    e = -70 (mV)
    tau = 5 (ms)
}
ASSIGNED {
    v (mV)
    i (mA/cm2)
}
STATE { m }
INITIAL { m = 0 }
BREAKPOINT {
    SOLVE states METHOD cnexp
    i = g * m * (v - e)
}
DERIVATIVE states { m' = (1 / (1 + exp(-(v + 60) / 5)) - m) / tau }
"""


def stimulus(name: str, *electrodes: dict, duration_ms: float = 50.0, holding_nA: float = 0.0) -> StimulusSettings:
    return StimulusSettings.model_validate(
        {"name": name, "duration_ms": duration_ms, "holding_nA": holding_nA, "electrodes": list(electrodes)}
    )


STEP = {"shape": "step", "delay_ms": 5, "duration_ms": 40, "amplitude_nA": 0.3}
STIMULI = (
    stimulus("step", STEP, holding_nA=-0.02),
    stimulus("short", STEP, duration_ms=46),
    stimulus("mixed", {"shape": "ramp", "site": "dend", "delay_ms": 2, "duration_ms": 45, "end_nA": 0.3}, STEP),
    stimulus("chirp", {**STEP, "shape": "chirp", "amplitude_nA": 0.2, "start_Hz": 5, "end_Hz": 80}),
    stimulus("noise", {"shape": "noise", "delay_ms": 0, "duration_ms": 50, "sd_nA": 0.1}),
)
DENSITY = {"variable": "gnabar_hh", "regions": ["somatic"], "bounds": [0.05, 0.3]}
LEAK = {"variable": "e_pas", "regions": ["all"], "bounds": [-1e9, 0.0]}
START = {"variable": "v_init", "bounds": [-90.0, -50.0]}


@pytest.fixture
def ball(tmp_path):
    """ball(parameters, ...): a soma with Hodgkin and Huxley's channels and a dendrite, nothing to compile."""

    def build(*parameters: dict, mechanisms: Path | None = None, also: tuple[str, ...] = ()) -> Cell:
        (tmp_path / "ball.swc").write_text(BALL)
        regions = {"all": ["pas", *also], "somatic": ["hh"]}
        cell = CellSettings.model_validate(
            {"morphology": tmp_path / "ball.swc", "mechanisms": mechanisms, "regions": regions, "celsius": 6.3}
        )
        sites = (SiteSettings(name="soma"), SiteSettings(name="dend", region="basal", distance_um=150))
        return Cell(cell, tuple(ParameterSettings.model_validate(one) for one in parameters), sites)

    return build


def both(cell: Cell, values: np.ndarray, stimuli=STIMULI, **engine) -> tuple[Responses, Responses]:
    neuron = hpcfit.simulate(cell, values, stimuli, EngineSettings(workers=1, **engine))
    ours = hpcfit.simulate(cell, values, stimuli, EngineSettings(kind="coreneuron", workers=1, **engine))
    assert np.all(neuron.status == Status.OK) and np.all(ours.status == Status.OK), ours.reasons
    return neuron, ours


def assert_same(ours: Responses, neuron: Responses) -> None:
    for one, other in zip(ours.v_mV, neuron.v_mV, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE_MV)


@pytest.mark.parametrize("order", [1, 2])
def test_every_electrode_site_and_start_as_in_neuron(ball, order):
    values = np.array([[0.12, -65.0, -65.0], [0.2, -68.0, -80.0], [0.08, -60.0, -55.0]])
    neuron, ours = both(ball(DENSITY, LEAK, START), values, order=order)
    assert max(v_mV.max() for v_mV in neuron.v_mV) > 0, "the cell is meant to spike"
    assert [v_mV.shape for v_mV in ours.v_mV] == [v_mV.shape for v_mV in neuron.v_mV]
    assert ours.v_mV[1].shape[-1] == 461
    assert_same(ours, neuron)
    np.testing.assert_array_equal(ours.v_mV[0][:, 0, 0], values[:, 2])


def test_the_orders_differ(ball):
    first, second = (
        hpcfit.simulate(ball(DENSITY), np.array([0.12]), STIMULI[:1], EngineSettings(kind="coreneuron", order=order))
        for order in (1, 2)
    )
    assert np.max(np.abs(first.v_mV[0] - second.v_mV[0])) > 0.01


@pytest.mark.parametrize("order", [1, 2])
def test_the_projects_cell_over_its_whole_space(order):
    problem = hpcfit.load(L5PC / "fit.toml")
    stimuli = [stimulus("high", {**STEP, "duration_ms": 90, "amplitude_nA": 0.8}, duration_ms=100)]
    neuron, ours = both(problem.cell, problem.space.random(4, seed=5), stimuli, order=order)
    assert neuron.v_mV[0].max() > 0, "the cell is meant to spike"
    assert_same(ours, neuron)


def test_neighbours_in_the_block_do_not_matter(ball):
    cell = ball(DENSITY, LEAK)
    values = np.random.default_rng(1).uniform([0.05, -75], [0.3, -60], (COPIES + 5, 2))
    engine = EngineSettings(kind="coreneuron", workers=2)
    together = hpcfit.simulate(cell, values, STIMULI[:2], engine)
    shuffled = np.random.default_rng(2).permutation(len(values))
    again = hpcfit.simulate(cell, values[shuffled], STIMULI[1::-1], engine.model_copy(update={"workers": 1}))
    alone = hpcfit.simulate(cell, values[7], STIMULI[:1], engine)
    for number in range(2):
        assert np.array_equal(together.v_mV[number][shuffled], again.v_mV[1 - number])
    assert np.array_equal(together.v_mV[0][7], alone.v_mV[0][0])
    assert not np.array_equal(together.v_mV[0][7], together.v_mV[0][8])


def test_a_diverging_individual_is_named_and_harms_nobody(ball, tmp_path):
    """Compiled mechanisms and a rate table are in it: fast arithmetic must not index a table with NaN."""
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "gate.mod").write_text(GATE)
    cell = ball(LEAK, mechanisms=tmp_path / "mods", also=("gate",))
    good = np.array([[-65.0], [-60.0], [-70.0]])
    engine = EngineSettings(kind="coreneuron", workers=1)
    mixed = hpcfit.simulate(cell, np.insert(good, 1, [[-9e8]], axis=0), STIMULI[:1], engine)
    alone = hpcfit.simulate(cell, good, STIMULI[:1], engine)
    assert mixed.status[:, 0].tolist() == [Status.OK, Status.DIVERGED, Status.OK, Status.OK]
    assert "500 mV" in mixed.reasons[1, 0]
    assert np.all(np.isnan(mixed.v_mV[0][1]))
    assert np.array_equal(mixed.v_mV[0][[0, 2, 3]], alone.v_mV[0])


def test_what_a_process_has_once_is_not_mixed_within_a_block(ball, tmp_path):
    """Temperature changes between blocks; a mechanism's GLOBAL is read once, so it may be set but not free."""
    (tmp_path / "mods").mkdir()
    (tmp_path / "mods" / "gate.mod").write_text(GATE)
    tau = {"variable": "tau_gate", "value": 40.0}
    g = {"variable": "g_gate", "regions": ["all"], "value": 1e-3}
    celsius = {"variable": "celsius", "bounds": [5, 20]}
    cell = ball(g, celsius, tau, mechanisms=tmp_path / "mods", also=("gate",))
    neuron, ours = both(cell, np.array([[6.3], [12.0], [6.3]]), STIMULI[:1])
    assert_same(ours, neuron)
    first, warm, again = ours.v_mV[0]
    assert np.array_equal(first, again)
    assert np.max(np.abs(first - warm)) > 1
    default = ball(g, celsius, mechanisms=tmp_path / "mods", also=("gate",))
    other = hpcfit.simulate(default, np.array([6.3]), STIMULI[:1], "coreneuron")
    assert np.max(np.abs(first - other.v_mV[0][0])) > 0.1
    free = ball({"variable": "tau_gate", "bounds": [1, 50]}, mechanisms=tmp_path / "mods", also=("gate",))
    with pytest.raises(ConfigError, match=r"tau_gate, a mechanism's GLOBAL.*so it cannot be free; give it a value"):
        hpcfit.simulate(free, np.array([5.0]), STIMULI[:1], "coreneuron")


def test_a_stuck_block_is_ended_at_its_deadline(ball):
    engine = EngineSettings(kind="coreneuron", workers=1, deadline_s=0.1, record_dt_ms=100.0)
    stimuli = [STIMULI[0], stimulus("long", STEP, duration_ms=1e6)]
    responses = hpcfit.simulate(ball(DENSITY), np.array([[0.1], [0.2]]), stimuli, engine)
    assert responses.status.tolist() == [[Status.OK, Status.DEADLINE]] * 2
    assert responses.reasons[0, 1] == "its block of 16 took longer than 16 x 0.1 s"


class DiesOf:
    """An executor whose process dies of one individual; whoever is in a block with it has no numbers yet."""

    def __init__(self, value: float) -> None:
        self.value, self.blocks = value, 0

    def map(self, tasks: Sequence[Task]) -> list[Outcome]:
        self.blocks += len(tasks)
        return [self._outcome(*task.arguments) for task in tasks]

    def _outcome(self, values: np.ndarray, names: Sequence[str]) -> Outcome:
        assert len(values) == len(names) <= COPIES
        if self.value in values[:, 0]:
            return Outcome(Fate.DIED, None, "its process was killed by SIGABRT")
        return Outcome(Fate.DONE, [(Status.OK, "", np.full((2, 501), value)) for value in values[:, 0]])

    def close(self) -> None:
        pass


def test_an_individual_that_takes_its_process_down_is_found_and_the_others_have_their_numbers(ball):
    built = [build_stimulus(STIMULI[0]), build_stimulus(STIMULI[2])]
    factory = neuron_factory(ball(DENSITY), built, EngineSettings(kind="coreneuron"))
    values = np.linspace(0.1, 0.3, 21)[:, None]
    executor = DiesOf(float(values[10, 0]))
    responses = CoreNeuronEngine(NeuronEngine(factory, executor)).simulate(values, ["step", "mixed"])
    crashed = np.arange(21) == 10
    assert np.array_equal(responses.status == Status.CRASHED, np.stack([crashed] * 2, axis=1))
    assert np.all(responses.status[~crashed] == Status.OK)
    assert set(responses.reasons.values()) == {"its process was killed by SIGABRT"}
    for v_mV in responses.v_mV:
        assert np.array_equal(v_mV[~crashed, 0, 0], values[~crashed, 0])
    assert executor.blocks <= 3 + 2 * 2 * 4, "halves find it, not one by one"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"integrator": "cvode"}, "integrator = 'cvode', but kind = 'coreneuron' has a fixed step"),
        ({"precision": "single"}, "precision = 'single' belongs to kind = 'batched'"),
        ({"kind": "neuron", "gpu": True}, "gpu = true belongs to kind = 'coreneuron'"),
    ],
)
def test_settings_that_the_engine_would_ignore_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        EngineSettings.model_validate({"kind": "coreneuron", **changes})


def test_a_gpu_that_the_build_cannot_use_is_refused(ball):
    with pytest.raises(EngineError, match=r"built without GPU support.*remove engine.gpu"):
        hpcfit.simulate(ball(DENSITY), np.array([0.1]), STIMULI[:1], EngineSettings(kind="coreneuron", gpu=True))


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("INITIAL { m = 0 }", "INITIAL {\nm = 0\nVERBATIM\nENDVERBATIM\n}", 19, "VERBATIM is C code"),
        ("GLOBAL e, tau", "GLOBAL e, tau\n    POINTER p", 6, "POINTER reaches into"),
        ("DERIVATIVE states {", "DERIVATIVE states { tau = 5 + v / 100", 5, "tau.*RANGE variable instead of GLOBAL"),
    ],
)
def test_a_mechanism_that_it_cannot_take_is_named_with_its_line(tmp_path, old, new, line, said):
    (tmp_path / "gate.mod").write_text(GATE.replace(old, new))
    with pytest.raises(MechanismError, match=rf"gate.mod, line {line}: .*{said}.*engine.kind = 'neuron'"):
        compiled_for_coreneuron(tmp_path)


def test_a_cell_that_it_cannot_take_is_refused_before_the_first_simulation(ball):
    with pytest.raises(EngineError, match=r"CoreNEURON cannot simulate.*extracellular"):
        hpcfit.simulate(ball(DENSITY, also=("extracellular",)), np.array([0.1]), STIMULI[:1], "coreneuron")


def test_a_fit_runs_on_it_and_gives_the_same_numbers_when_resumed(tiny, hpcfit):
    fit = tiny(("workers = 2", 'workers = 2\nkind = "coreneuron"'))
    assert hpcfit("fit", fit).code == 0
    whole = Path("runs/tiny").rename("whole")
    assert hpcfit("fit", fit, "--generations", "1").code == 0
    assert hpcfit("fit", fit, "--generations", "3").code == 0
    assert same_numbers(Ledger.open(whole), Ledger.open(Path("runs/tiny"))) == []
    assert (whole / "best" / "model.hoc").exists()
