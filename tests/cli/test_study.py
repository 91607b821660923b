"""Does `hpcfit study population` make ordinary runs, go on where it stopped, and compare them rightly?"""

import csv
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from hpcfit.errors import ConfigError
from hpcfit.jobs.study import Request, StudyRun, compare, resized
from hpcfit.population.ledger import Ledger, same_numbers
from hpcfit.report.run_view import open_run
from hpcfit.settings import AnyStrategySettings

SIZES = ("--sizes", "4,8", "--generations", 3, "--evaluations", 16, "--out", "study")


def curve(size: int, seed: int, best: list[float]) -> StudyRun:
    return StudyRun(size, seed, Path(), np.arange(1, len(best) + 1) * size, np.array(best), True)


def test_medians_at_equal_generations_and_at_equal_evaluations():
    runs = [
        curve(10, 1, [9, 8, 7, 6]),
        curve(10, 2, [5, 4, 3, 2]),
        curve(10, 3, [9, 9, 9, 1]),
        curve(20, 1, [4, 3]),
        curve(20, 2, [8, 8]),
    ]
    found = compare(runs)
    assert (found.generations, found.evaluations) == (2, 40)
    small, large = found.rows
    kinds = ("equal_generations", "equal_evaluations", "end")
    assert [small[f"{kind}_median"] for kind in kinds] == [8, 2, 2]
    assert [large[f"{kind}_median"] for kind in kinds] == [5.5, 5.5, 5.5]
    assert (small["equal_evaluations_least"], small["equal_evaluations_greatest"]) == (1, 6)
    assert (small["seeds"], large["seeds"], small["evaluations"]) == (3, 2, 40)


def test_a_run_that_is_still_short_says_what_it_has():
    # 30 evaluations are no whole number of generations of 20: its second generation is beyond.
    found = compare([curve(10, 1, [9, 8, 7]), curve(20, 1, [6, 5])])
    assert found.evaluations == 30
    assert [row["equal_evaluations_median"] for row in found.rows] == [7, 6]
    # A first generation larger than the others' whole runs sets what is compared.
    assert compare([curve(10, 1, [9, 8]), curve(50, 1, [6])]).evaluations == 50


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ({"parents": 128, "offspring": 256}, {"parents": 512, "offspring": 1024, "initial": None}),
        (
            {"parents": 10, "offspring": 20, "initial": 40},
            {"parents": 512, "offspring": 1024, "initial": 2048},
        ),
        ({"kind": "ibea", "parents": 50, "offspring": 50}, {"parents": 1024, "offspring": 1024}),
        ({"kind": "cma_es"}, {"population": 1024}),
        ({"kind": "particle_swarm", "population": 7}, {"population": 1024}),
    ],
)
def test_a_strategy_of_another_size_keeps_its_proportions(table, changed):
    settings = TypeAdapter(AnyStrategySettings).validate_python(table)
    found = resized(settings, 1024)
    assert found.model_dump() == settings.model_dump() | changed


def test_a_size_that_the_strategy_cannot_have_is_named():
    settings = TypeAdapter(AnyStrategySettings).validate_python({"kind": "cma_es"})
    with pytest.raises(ConfigError, match="population size 3: strategy: population = 3"):
        resized(settings, 3)


def test_its_runs_are_those_that_fit_makes(tiny, hpcfit):
    file = tiny()
    ended = hpcfit("study", "population", file, *SIZES, "--seeds", "3")
    assert ended.code == 0 and ended.out.startswith("2 of 2 runs are done."), ended
    assert [open_run(f"study/size_{size:06d}_seed_3").generations for size in (4, 8)] == [3, 2]
    plain = tiny(("parents = 4", "parents = 5"), ("offspring = 6", "offspring = 8"))
    assert hpcfit("fit", plain, "--run", "plain", "--generations", 2).code == 0
    assert same_numbers(Ledger.open(Path("plain")), Ledger.open(Path("study/size_000008_seed_3"))) == []
    with open("study/population_curves.csv") as table:
        rows = [(row["size"], row["seed"], row["generation"], row["evaluations"]) for row in csv.DictReader(table)]
    assert rows == [("4", "3", str(g), str(4 * g + 4)) for g in range(3)] + [
        ("8", "3", str(g), str(8 * g + 8)) for g in range(2)
    ]
    assert {"population_scores.png", "population_traces.svg", "report.html"} <= {
        path.name for path in Path("study").iterdir()
    }

    tiny()
    before = {path: path.stat().st_mtime_ns for path in Path("study").glob("size_*/**/*")}
    assert hpcfit("study", "population", file, *SIZES, "--seeds", "3").code == 0  # nothing is left to do
    assert {path: path.stat().st_mtime_ns for path in Path("study").glob("size_*/**/*")} == before
    # The run of the larger budget goes on from the smaller one's.
    ended = hpcfit("study", "population", file, "--sizes", "8", "--generations", 3, "--seeds", "3", "--out", "study")
    assert ended.code == 0 and "size 8, seed 3: generation 2" in ended.err and "generation 1," not in ended.err
    assert len(Ledger.open(Path("study/size_000008_seed_3"))) == 3


def test_it_stops_in_time_and_goes_on(tiny, hpcfit):
    file = tiny()
    ended = hpcfit("study", "population", file, *SIZES, "--wall-clock", 0.001)
    # The first generation of the first run has nothing to be judged by.
    assert ended.code == 0 and ended.out.startswith("0 of 2 runs are done; the same command goes on."), ended
    assert "Only 1 seed of a size" in ended.out
    ended = hpcfit("study", "population", file, *SIZES)
    assert ended.code == 0 and ended.out.startswith("2 of 2 runs are done."), ended


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sizes", "0,100"), "--sizes holds 0; each must be a whole number of at least 2"),
        (("--sizes", "-5"), "--sizes holds -5"),
        (("--sizes", ""), "--sizes: no number is given"),
        (("--sizes", "1000,few"), "--sizes = '1000,few'; write whole numbers with commas"),
        (("--sizes", "8,8"), "--sizes holds 8 twice"),
        (("--sizes", "8", "--seeds", "-1"), "--seeds holds -1"),
        (("--sizes", "8", "--wall-clock", 0), "nothing has been run yet and --wall-clock leaves no time; give more"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(tiny, hpcfit, arguments, says):
    ended = hpcfit("study", "population", tiny(), *arguments)
    assert (ended.code, ended.out) == (2, "") and ended.err.count("\n") == 1 and says in ended.err, ended
    assert not Path("runs").exists()


def test_runs_of_another_fit_are_not_gone_on_with(tiny, hpcfit):
    assert hpcfit("study", "population", tiny(), "--sizes", "4", "--generations", 1, "--out", "study").code == 0
    changed = tiny(("celsius = 20", "celsius = 21"))
    ended = hpcfit("study", "population", changed, "--sizes", "4", "--generations", 1, "--out", "study")
    assert ended.code == 2 and "was started with cell.celsius = 20" in ended.err, ended


def test_a_request_is_checked_wherever_it_comes_from():
    with pytest.raises(ConfigError, match="--seeds: no number is given"):
        Request((10,), 1, ())
