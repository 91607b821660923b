"""What happens when the batched engine cannot translate a mechanism: refused with its line, or NEURON, saying so?"""

import json
from pathlib import Path

import pytest

import hpcfit as package
from hpcfit.biophys.settings import EngineSettings
from hpcfit.errors import MechanismError
from hpcfit.population.ledger import Ledger

VERBATIM = "BREAKPOINT {\n    VERBATIM\n    i = 0;\n    ENDVERBATIM\n    i = g * (v - e)\n}\n"
LINE = 16


@pytest.fixture
def untranslatable(tiny, leak):
    """untranslatable(engine keys): the tiny fit with a leak that holds a VERBATIM block."""
    file = leak / "leak.mod"
    text = file.read_text()
    file.write_text(text[: text.index("BREAKPOINT")] + VERBATIM)
    assert file.read_text().splitlines()[LINE - 1].strip() == "VERBATIM"

    def write(engine):
        return tiny(
            ('morphology = "ball.swc"', 'morphology = "ball.swc"\nmechanisms = "mechanisms"'),
            ('somatic = ["hh"]', 'somatic = ["hh", "leak"]'),
            ("workers = 2", f"workers = 2\n{engine}"),
        )

    return write


@pytest.mark.parametrize("verb", ["fit", "check"])
def test_refused_by_default_with_file_line_and_cure(untranslatable, hpcfit, verb):
    ended = hpcfit(verb, untranslatable('kind = "batched"'))
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert f"leak.mod:{LINE}" in line or f"leak.mod, line {LINE}" in line
    assert "VERBATIM" in line and "engine.fallback = 'neuron'" in line
    assert not Path("runs").exists()


def test_neuron_simulates_where_allowed_and_everything_says_so(untranslatable, hpcfit):
    allowed = untranslatable('kind = "batched"\nfallback = "neuron"')
    checked = hpcfit("check", allowed)
    assert checked.code == 0
    (said,) = [line for line in checked.out.splitlines() if line.startswith("simulator: ")]
    assert "NEURON simulates, because" in said and "leak.mod" in said and "VERBATIM" in said
    ended = hpcfit("fit", allowed, "--generations", 2, "--run", "fallen")
    assert ended.code == 0, ended.err
    assert [line for line in ended.err.splitlines() if line.startswith("note: ")] == [
        f"note: {said.removeprefix('simulator: ')}"
    ]
    note = said.removeprefix("simulator: ")
    assert Path("fallen/log.txt").read_text().splitlines()[0] == f"# {note}"
    assert json.loads(Path("fallen/status.json").read_text())["note"] == note
    assert note in Ledger.open(Path("fallen")).header.environment["simulator"]
    assert "VERBATIM" in Path("fallen/report/report.html").read_text()
    assert note in hpcfit("status", "fallen").out
    # Its numbers are those of a fit by NEURON, without TABLEs as single precision is by default; going on keeps
    # the line and one line for each generation.
    assert hpcfit("fit", untranslatable('tables = "ignore"'), "--generations", 2, "--run", "plain").code == 0
    ours, theirs = (package.open_run(name) for name in ("fallen", "plain"))
    assert ours.best.score == theirs.best.score and ours.best.parameters == theirs.best.parameters
    assert hpcfit("fit", untranslatable('kind = "batched"\nfallback = "neuron"'), "--run", "fallen").code == 0
    lines = Path("fallen/log.txt").read_text().splitlines()
    assert lines[0] == f"# {note}" and [line.split()[1] for line in lines[1:]] == [f"generation={n}" for n in range(3)]


def test_nothing_is_said_where_nothing_falls_back(tiny, hpcfit):
    file = tiny(("workers = 2", 'workers = 2\nkind = "batched"\nfallback = "neuron"'))
    assert "simulator: batched single order 2 dt 0.025 ms" in hpcfit("check", file).out
    ended = hpcfit("fit", file, "--generations", 1)
    assert ended.code == 0 and "note:" not in ended.err
    assert "note" not in hpcfit("status", "runs/tiny").out
    assert not Path("runs/tiny/log.txt").read_text().startswith("#")
    assert Ledger.open(Path("runs/tiny")).header.environment["simulator"].startswith("batched single")


def test_simulate_falls_back_with_a_warning_or_refuses(untranslatable):
    problem = package.load(untranslatable(""))
    values = problem.space.random(1)
    with pytest.raises(MechanismError, match=r"VERBATIM.*engine\.fallback"):
        package.simulate(problem.cell, values, problem.stimuli, EngineSettings(kind="batched"))
    allowed = EngineSettings(kind="batched", fallback="neuron")
    with pytest.warns(UserWarning, match="NEURON simulates, because"):
        responses = package.simulate(problem.cell, values, problem.stimuli, allowed)
    own = package.simulate(problem.cell, values, problem.stimuli, EngineSettings(tables="ignore"))
    assert (responses.trace(0, "step") == own.trace(0, "step")).all()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('fallback = "neuron"', "fallback = 'neuron' belongs to kind = 'batched'"),
        ('mode = "fast"', "mode = 'fast' belongs to kind = 'batched'"),
        ('kind = "batched"\nmode = "quick"', "engine.mode = 'quick'"),
        ('kind = "batched"\nfallback = "none"', "engine.fallback = 'none'"),
    ],
)
def test_bad_modes_and_fallbacks_are_named(tiny, hpcfit, line, said):
    ended = hpcfit("check", tiny(("workers = 2", f"workers = 2\n{line}")))
    assert ended.code == 2
    assert said in ended.err and len(ended.err.splitlines()) == 1
