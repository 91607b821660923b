"""Does --set change what it names, as if the fit file said so, and refuse what the file could not say?"""

from pathlib import Path

import pytest

from hpcfit.errors import ConfigError
from hpcfit.jobs.changes import changed_settings
from hpcfit.population.ledger import Ledger, same_numbers

TWO = '[[stimuli]]\nname = "ramp"\nduration_ms = 40\nelectrodes = []\n\n[[stimuli]]\nname = "step"'
BOTH = (
    ('[[stimuli]]\nname = "step"', TWO),
    ("[[scores]]", '[targets.ramp.statistics.soma]\nvoltage_base = [-66, 1]\n\n[[scores]]\nstimuli = ["ramp"]\n'
     'features = ["voltage_base"]\n\n[weighting]\nbudget = { step = 2, ramp = 1 }\n\n[[scores]]\nstimuli = ["step"]'),
)  # fmt: skip


def test_a_fit_with_another_seed_is_that_of_another_file(hpcfit, tiny):
    ended = hpcfit("fit", tiny(), "--set", "run.seed=5", "--set", "run.generations=2", "--run", "runs/set")
    assert ended.code == 0, ended
    file = tiny(("seed = 3", "seed = 5"), ("generations = 3", "generations = 2"))
    assert hpcfit("fit", file, "--run", "runs/file").code == 0
    assert same_numbers(Ledger.open(Path("runs/set")), Ledger.open(Path("runs/file"))) == []
    tiny()
    again = hpcfit("fit", file, "--run", "runs/set")  # without --set it is another fit
    assert again.code == 2 and "run.seed = 5, the fit file now has 3" in again.err


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("run.seed=5", lambda s: s.run.seed, 5),
        ("run.target_score=1.5", lambda s: s.run.target_score, 1.5),
        ("run.timeline=true", lambda s: s.run.timeline, True),
        ("run.stop={stagnant_generations = 4}", lambda s: s.run.stop and s.run.stop.stagnant_generations, 4),
        ("run.stop.stagnant_generations=4", lambda s: s.run.stop and s.run.stop.stagnant_generations, 4),
        ("engine.kind=batched", lambda s: s.engine.kind, "batched"),
        ('engine.kind="batched"', lambda s: s.engine.kind, "batched"),
        ("strategy.mutation.gene_rate=0.25", lambda s: s.strategy.mutation.gene_rate, 0.25),
        ("stimuli[0].duration_ms=60", lambda s: s.stimuli[0].duration_ms, 60),
        ("stimuli[step].duration_ms=60", lambda s: s.stimuli[0].duration_ms, 60),
        ("stimuli[step].electrodes[0].delay_ms=5", lambda s: s.stimuli[0].electrodes[0].delay_ms, 5),
        ("parameters[g_pas.all].bounds=[1e-6, 1e-4]", lambda s: s.parameters[1].bounds, (1e-6, 1e-4)),
        ("targets.step.window_ms=[1, 2]", lambda s: s.targets["step"].window_ms, (1, 2)),
    ],
)  # fmt: skip
def test_places_and_values(tiny, text, place, expected):
    file = tiny()
    assert place(changed_settings(file, [])) != expected
    assert place(changed_settings(file, [text])) == expected


def test_a_subset_of_stimuli_takes_along_what_belongs_to_them(tiny):
    file = tiny(*BOTH)
    whole = changed_settings(file, [])
    assert [stimulus.name for stimulus in whole.stimuli] == ["ramp", "step"]
    only = changed_settings(file, ["stimuli=step"])
    assert [stimulus.name for stimulus in only.stimuli] == list(only.targets) == list(only.weighting.budget) == ["step"]
    assert [score.stimuli for score in only.scores] == [("step",)]
    assert changed_settings(file, ["stimuli=step+ramp"]) == whole  # in the file's order


BAD = {
    "run.seed": "--set 'run.seed': write KEY=VALUE, for example --set run.seed=3",
    "run.sed=3": "fit.toml with --set run.sed=3: unknown key run.sed; did you mean seed?",
    "run.seed=x": "fit.toml with --set run.seed=x: run.seed = 'x': must be a whole number",
    "run.seed=-1": "run.seed = -1: must be greater than or equal to 0",
    "run.seed.x=1": "--set run.seed.x: run.seed is no table, but 3",
    "strategy.parents=1": "with --set strategy.parents=1: strategy: parents = 1, but crossover needs two",
    "stimuli[stop].duration_ms=3": "stimuli[stop].duration_ms: there is no [stop] in that list of 1; known: [step]",
    "stimuli[1].duration_ms=3": "--set stimuli[1].duration_ms: there is no [1] in that list of 1; known: [step]",
    "stimuli.step.duration_ms=3": "there is no step in that list of 1; known: [step]",
    "stimuli=step+stop": "--set stimuli=step+stop: there is no stimulus 'stop'; known: step",
    "[run]seed=3": "--set [run]seed: no place in a fit file; write it as run.seed",
    "run..seed=3": "--set run..seed: no place in a fit file",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_set_is_one_line_and_nothing_is_written(hpcfit, tiny, text):
    ended = hpcfit("fit", tiny(), "--set", text)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert BAD[text] in ended.err and not Path("runs").exists()


def test_a_key_given_twice(tiny):
    with pytest.raises(ConfigError, match=r"--set run\.seed is given twice"):
        changed_settings(tiny(), ["run.seed=1", "run.seed=2"])


def test_a_subset_without_targets(tiny):
    file = tiny(('[[stimuli]]\nname = "step"', TWO))
    with pytest.raises(ConfigError, match=r"--set stimuli=ramp: none of them has a target"):
        changed_settings(file, ["stimuli=ramp"])
