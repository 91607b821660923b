"""Are the points of a study those that were asked for, and of a preset those of the paper?"""

import pytest

from hpcfit.errors import ConfigError
from hpcfit.jobs.scaling.design import STUDIES, Design, Point, designed

ASKED = {"budget_s": 1000.0}


def test_what_grows_and_what_stays():
    assert Design("strong", (1, 2, 8), (100,)).points == (Point(1, 100), Point(2, 100), Point(8, 100))
    assert Design("weak", (1, 2, 8), (100,)).points == (Point(1, 100), Point(2, 200), Point(8, 800))
    assert Design("problem", (2,), (100, 300)).points == (Point(2, 100), Point(2, 300))
    assert Design("stimuli", (1,), (50,), stimuli=(1, 8)).points == (Point(1, 50, 1), Point(1, 50, 8))
    assert Design("scores", (1,), (50,), (4,), (1, 20)).points == (Point(1, 50, 4, 1), Point(1, 50, 4, 20))


def test_the_designs_of_ladd_et_al():
    found = {study: designed(study, 7, ASKED, "ladd2021") for study in STUDIES}
    assert [point.ranks for point in found["strong"].points] == [1, 4, 8, 16]
    assert {point.population for point in found["strong"].points} == {3000}
    assert [(point.ranks, point.population) for point in found["weak"].points][::4] == [(1, 250), (16, 4000)]
    sizes = [point.population for point in found["problem"].points]
    assert (sizes[0], sizes[-1], found["problem"].ranks) == (500, 5000, (1,))
    assert (found["stimuli"].stimuli[0], found["stimuli"].stimuli[-1], found["stimuli"].population) == (1, 18, (500,))
    assert (found["scores"].scores[0], found["scores"].scores[-1], found["scores"].population) == (1, 180, (500,))
    assert {design.generations for design in found.values()} == {50}
    assert {design.stimuli for name, design in found.items() if name not in ("stimuli", "scores")} == {(8,)}
    assert all("Ladd et al. 2021" in design.source for design in found.values())


def test_a_preset_made_smaller_says_so():
    found = designed("strong", 7, {**ASKED, "ranks": (1, 2), "generations": None}, "ladd2021", scaled=0.1)
    assert found.points == (Point(1, 300, 8), Point(2, 300, 8))
    assert "ranks 1, 2 for 1, 4, 8, 16" in found.source and "populations times 0.1" in found.source
    assert "changed" not in designed("strong", 7, ASKED, "ladd2021").source
    assert designed("strong", 7, ASKED).population == (7,)


@pytest.mark.parametrize(
    ("study", "asked", "text"),
    [
        ("strong", {"ranks": (2, 1)}, "--ranks = 2,1: give each number once, in rising order"),
        ("strong", {"ranks": (1, 1)}, "each number once"),
        ("strong", {"ranks": (0, 1)}, "--ranks holds 0; each must be a whole number of at least 1"),
        ("strong", {"ranks": ()}, "--ranks: no number is given"),
        ("strong", {"ranks": (1, 2), "population": (1,)}, "a population of 1 cannot keep 2 ranks busy"),
        ("strong", {"population": (1, 2)}, "--population = 1,2: hpcfit scale strong sweeps ranks; give one number"),
        ("problem", {"ranks": (1, 2)}, "--ranks = 1,2: hpcfit scale problem sweeps population"),
        ("stimuli", {}, "hpcfit scale stimuli needs --stimuli"),
        ("strong", {"ranks": (1, 2, 4), "budget_s": 3.0}, "--budget 3 s is too small for 3 points"),
        ("strong", {"generations": 2, "repeats": 2}, "fewer than the 6 times that an interval needs"),
        ("strong", {"goal": 0.0}, "--goal 0: no interval becomes so narrow"),
    ],
)
def test_designs_that_make_no_sense(study, asked, text):
    with pytest.raises(ConfigError, match=text):
        designed(study, 100, asked)


def test_presets_are_named_and_scaled_only_with_them():
    with pytest.raises(ConfigError, match="--preset ladd: there is no such design; there is ladd2021"):
        designed("strong", 7, {}, "ladd")
    with pytest.raises(ConfigError, match=r"--scaled 0\.5 makes a preset smaller"):
        designed("strong", 7, {}, scaled=0.5)
