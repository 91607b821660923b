"""Does `hpcfit scale` measure the fit that `hpcfit fit` makes, keep what it measures, and report it rightly?"""

import csv
import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import hpcfit as package
from hpcfit.errors import EngineError
from hpcfit.jobs.scaling.design import Design, Point
from hpcfit.jobs.scaling.launched import AllReady, numbers_hash
from hpcfit.jobs.scaling.measure import Study
from hpcfit.jobs.scaling.problems import Sized
from hpcfit.jobs.scaling.raw import Raw
from hpcfit.jobs.scaling.report import report_lines, summary_text, write_report
from hpcfit.jobs.scaling.sanity import check_same_numbers
from hpcfit.jobs.scaling.summary import PHASES, summarised
from hpcfit.population.ledger import Ledger
from hpcfit.report.plots.scaling import phases_by_size, time_by_size
from hpcfit.run.comm import dry_run
from hpcfit.run.launch import Launcher

from ..mpi.launch import needs_mpi

BATCHED = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 20"),
    ("offspring = 6", "offspring = 64"),
)
SMALL = ("--generations", 6, "--repeats", 1, "--goal", 100, "--oversubscribe", "--out", "study")


def lines(folder: str = "study") -> list[dict]:
    return [json.loads(line) for line in Path(folder, "timings.jsonl").read_text().splitlines()]


def of(kind: str, folder: str = "study") -> list[dict]:
    return [line for line in lines(folder) if line["kind"] == kind]


@needs_mpi
def test_strong_scaling_of_a_fit(tiny, hpcfit):
    file = tiny(*BATCHED)
    ended = hpcfit("scale", "strong", file, "--ranks", "1,2", *SMALL)
    assert ended.code == 0, ended.err
    _check_raw_timings()
    _check_summary(ended.out)
    _check_numbers(file)
    _check_resume(file, hpcfit)
    _check_tampering(file, hpcfit)


def _check_raw_timings() -> None:
    """One line for each generation of each launch; phases of rank 0 add up; ranks share the population."""
    assert [launch["point"]["ranks"] for launch in of("launch")] == [1, 2]
    generations = of("generation")
    assert [(one["launch"], one["number"]) for one in generations] == [(n, g) for n in (0, 1) for g in range(7)]
    for one in generations:
        parts = sum(one[name] for name in ("evolve_s", "gather_s", "map_s", "write_s"))
        assert parts == pytest.approx(one["wall_s"])
        assert sum(one["individuals"]) == 64
        busy = np.add(one["simulate_s"], one["score_s"])
        assert np.all(busy[np.array(one["individuals"]) > 0] > 0) and np.all(busy <= one["map_s"] + 1e-3)
    assert all(min(one["individuals"]) > 0 for one in generations if one["launch"] == 1)  # also in generation 0
    ranks = of("rank")
    assert [(one["launch"], one["rank"]) for one in sorted(ranks, key=lambda one: (one["launch"], one["rank"]))] == [
        *((0, 0), (1, 0), (1, 1))
    ]
    ends = {one["launch"]: one["seconds"] for one in of("end")}
    for one in ranks:
        assert 0.1 < one["ready_s"] <= one["first_block_s"] < ends[one["launch"]] + 30


def _check_summary(printed: str) -> None:
    summary = json.loads(Path("study/summary.json").read_text())
    first, second = summary["points"]
    walls = {launch: [one["wall_s"] for one in of("generation") if one["launch"] == launch][1:] for launch in (0, 1)}
    assert first["seconds"]["median"] == pytest.approx(np.median(walls[0]))
    assert (second["seconds"]["low"], second["seconds"]["high"]) == (min(walls[1]), max(walls[1]))  # n = 6
    assert second["speed_up"]["median"] == pytest.approx(np.median(walls[0]) / np.median(walls[1]))
    assert second["speed_up"]["low"] == pytest.approx(min(walls[0]) / max(walls[1]))
    assert second["ideal_s"] == pytest.approx(first["seconds"]["median"] / 2)
    assert first["hash"] == second["hash"] == of("generation")[-1]["hash"]
    assert summary["per_individual"]["simulate"]["n"] == 6 + 12
    assert "gave the same numbers, bit for bit" in printed and "warm-up and not used" in printed
    with open("study/report/strong_times.csv", newline="") as file:
        assert [row["n"] for row in csv.DictReader(file)] == ["6", "6"]
    page = Path("study/report/report.html").read_text()
    assert page.count("<img") == 2 and "Strong scaling" in page


def _check_numbers(file: Path) -> None:
    """They are those of hpcfit fit."""
    package.run(file, "plain", generations=7)
    ledger = Ledger.open(Path("plain"))
    plain = [numbers_hash(ledger.read(number)) for number in range(7)]
    for launch in (0, 1):
        assert [one["hash"] for one in of("generation") if one["launch"] == launch] == plain


def _check_resume(file: Path, hpcfit) -> None:
    """What is measured is not measured again; half a line is dropped; more repeats are added."""
    before = Path("study/timings.jsonl").read_text()
    assert hpcfit("scale", "strong", file, "--ranks", "1,2", *SMALL).code == 0
    assert Path("study/timings.jsonl").read_text() == before
    Path("study/timings.jsonl").write_text(before + '{"kind": "launch", "laun')
    more = ("--generations", 6, "--repeats", 2, *SMALL[4:])
    assert hpcfit("scale", "strong", file, "--ranks", "1", *more).code == 0
    after = Path("study/timings.jsonl").read_text()
    assert after.startswith(before) and len(of("launch")) == 3
    assert of("launch")[-1]["point"]["ranks"] == 1
    other = hpcfit("scale", "weak", file, "--ranks", "1", *SMALL)
    assert other.code == 2 and "holds timings of another study" in other.err
    other = hpcfit("scale", "strong", file, "--workers", "2", "--ranks", "1", *SMALL)
    assert other.code == 2 and "holds timings of another workers (1, not 2)" in other.err


def _check_tampering(file: Path, hpcfit) -> None:
    """Other numbers on another number of ranks are an error."""
    path = Path("study/timings.jsonl")
    last = of("generation")[-1]["hash"]
    text = path.read_text()
    place = text.rindex(last)
    path.write_text(text[:place] + "0" * len(last) + text[place + len(last) :])
    ended = hpcfit("scale", "strong", file, "--ranks", "1,2", *SMALL)
    assert ended.code == 2 and "generation 6 has other numbers on 1 ranks" in ended.err


@pytest.mark.parametrize(
    ("study", "sizes", "swept", "wanted"),
    [
        ("problem", ("--population", "32,64"), "population", [32, 64]),
        ("stimuli", ("--stimuli", "1,2"), "stimuli", [1, 2]),
        ("scores", ("--scores", "1,3"), "scores", [1, 3]),
    ],
)
def test_sweeps_on_one_rank(tiny, hpcfit, study, sizes, swept, wanted):
    ended = hpcfit("scale", study, tiny(*BATCHED), *sizes, *SMALL)
    assert ended.code == 0, ended.err
    summary = json.loads(Path("study/summary.json").read_text())
    assert [point[swept] for point in summary["points"]] == wanted
    for one in of("generation"):
        assert sum(one["individuals"]) == of("launch")[one["launch"]]["point"]["population"]
    if study == "stimuli":
        assert "2 stimuli: stimuli 2 to 2 are copies of the file's 1" in ended.out


def test_a_budget_that_ends_too_early_is_said_and_the_same_command_goes_on(tiny, hpcfit):
    arguments = ("scale", "problem", tiny(*BATCHED), "--population", "32,64", *SMALL, "--generations", 40_000)
    ended = hpcfit(*arguments, "--budget", 4)
    assert ended.code == 75, ended
    assert "the budget of 4 s has ended; the same command goes on" in ended.out
    assert "Not measured: 64" in ended.out
    there = len(of("generation"))
    assert there > 6 and hpcfit(*arguments, "--budget", 4).code in (0, 75)
    assert len(of("generation")) > there


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_ranks_and_keeps_the_timings(tiny, started, number):
    many = ("--generations", 1_000_000, "--ranks", "1", "--budget", 500, "--out", "study")
    process = started("scale", "strong", tiny(*BATCHED), *many)
    timings, ends = Path("study/timings.jsonl"), time.monotonic() + 60
    while not (timings.exists() and '"kind": "generation"' in timings.read_text()):
        assert process.poll() is None and time.monotonic() < ends, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "timings are kept, the same command goes on" in err
    there = len(of("generation"))
    time.sleep(0.3)
    assert len(of("generation")) == there  # nobody goes on
    assert not any(str(Path.cwd()).encode() in words for words in map(_words, Path("/proc").glob("[0-9]*")))


def _words(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_launch_that_fails_is_told_with_its_words(tiny, hpcfit, monkeypatch):
    file = tiny(*BATCHED)
    monkeypatch.setenv("HPCFIT_CACHE", str(Path("no", "such", "place").resolve()))
    Path("no").write_text("a file where a folder is needed")
    ended = hpcfit("scale", "strong", file, *SMALL)
    assert ended.code == 2 and "1 rank, population 64 ended with exit code" in ended.err and "log.txt" in ended.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--ranks", "1;2"), "--ranks = '1;2'; write whole numbers with commas"),
        (("--ranks", "1,4096", "--population", "5000"), "--ranks asks for 4096 ranks, but this machine has"),
        (("--ranks", "1,2", "--population", "1"), "a population of 1 cannot keep 2 ranks busy"),
        (("--ranks", "1", "--budget", "1"), "--budget 1 s is too small for 1 points"),
        (("--ranks", "1", "--launcher", "srun"), "this shell is in no SLURM allocation"),
        (("--scores", "9"), "--scores asks for 9 score functions; the file has 3"),
        (("--preset", "other"), "--preset other: there is no such design"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(tiny, hpcfit, monkeypatch, options, text):
    monkeypatch.setattr("hpcfit.run.launch.mpi_library", lambda: "MPICH")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    ended = hpcfit("scale", "strong", tiny(*BATCHED), *options, "--out", "study")
    assert ended.code == 2 and text in ended.err and ended.err.count("\n") == 1, ended
    assert not Path("study").exists()


def test_rank_0_hears_no_silence_before_all_are_ready():
    def main(comm):
        if comm.rank:  # greets, and builds its work when it is told what
            comm.send(0, {"kind": "hello"})
            while comm.receive(0.1) is None:
                pass
            time.sleep(0.2 * comm.rank)
            comm.send(0, {"kind": "ready"})
            return []
        heard, ranks = [], AllReady(comm)
        for message in iter(ranks.receive, None):
            heard.append(message.head["kind"])
            if message.head["kind"] == "hello":
                ranks.send(message.source, {"kind": "plan"})
        return heard

    assert dry_run(4, main)[0] == ["hello"] * 3 + ["ready"] * 3
    assert dry_run(1, lambda comm: AllReady(comm).receive()) == [None]


POPULATION = 80


def written(folder: Path, walls: dict[int, list[float]], kind: str = "strong") -> dict:
    """The summary of a study whose timings are given: by ranks, a generation each, the first being warm-up."""
    raw = Raw(folder)
    raw.begun({"study": kind})
    points = {}
    for number, (ranks, seconds) in enumerate(walls.items()):
        population = POPULATION * (ranks if kind == "weak" else 1)
        points[ranks] = Point(ranks, population)
        raw.append(
            kind="launch", launch=number, point=vars(points[ranks]), nodes=ranks, environment={"cores": 4, "load": 0.5}
        )
        for rank in range(ranks):
            raw.append(kind="rank", launch=number, rank=rank, host="h", cores=1, ready_s=1.0 + rank, first_block_s=5.0)
        for generation, wall_s in enumerate(seconds):
            share = [population // ranks] * ranks
            raw.append(
                kind="generation",
                launch=number,
                number=generation,
                wall_s=wall_s,
                best=1.5,
                evolve_s=0.1,
                gather_s=0.2,
                write_s=0.3,
                map_s=wall_s - 0.6,
                hash=f"{generation}",
                simulate_s=[0.5 * wall_s + 0.01 * rank for rank in range(ranks)],
                score_s=[0.05] * ranks,
                individuals=share,
            )
        raw.append(kind="end", launch=number, seconds=60.0)
    design = Design(kind, tuple(walls), (POPULATION,), budget_s=100.0)  # type: ignore[arg-type]
    fit = package.load(Path(__file__).resolve().parents[2] / "data" / "l5pc" / "fit.toml")
    fits = {point: Sized(fit.settings, 8, 100) for point in points.values()}
    study = Study(design, fits, folder, folder, Launcher("none"), print)
    launches = raw.launches()
    check_same_numbers(launches)
    return summarised(study, launches, "the budget of 100 s has ended")


def scattered(middle: float) -> list[float]:
    """Warm-up of 100 s, and eleven times about the middle: their interval is all but the extremes."""
    return [100.0, *(middle * (1 + 0.01 * step) for step in range(-5, 6))]


def test_speed_up_and_efficiency_against_the_base(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 2: scattered(5.0), 4: scattered(4.0)})
    assert [point["seconds"]["median"] for point in summary["points"]] == [8.0, 5.0, 4.0]
    assert [point["speed_up"]["median"] for point in summary["points"]] == pytest.approx([1.0, 1.6, 2.0])
    assert [point["efficiency"]["median"] for point in summary["points"]] == pytest.approx([1.0, 0.8, 0.5])
    assert [point["ideal_s"] for point in summary["points"]] == [8.0, 4.0, 2.0]
    # Rank 0 alone evolves for 0.1 s and writes for 0.3 s.
    assert [point["bound_s"] for point in summary["points"]] == pytest.approx([8.0, 4.2, 2.3])
    low, high = summary["points"][1]["seconds"]["low"], summary["points"][1]["seconds"]["high"]
    assert (low, high) == pytest.approx((5.0 * 0.95, 5.0 * 1.05), rel=0.011)


def test_weak_scaling_is_ideal_where_time_stays(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 2: scattered(8.0), 4: scattered(10.0)}, "weak")
    assert [point["population"] for point in summary["points"]] == [80, 160, 320]
    assert [point["efficiency"]["median"] for point in summary["points"]] == pytest.approx([1.0, 1.0, 0.8])
    assert [point["speed_up"]["median"] for point in summary["points"]] == pytest.approx([1.0, 2.0, 3.2])
    assert [point["ideal_s"] for point in summary["points"]] == [8.0] * 3
    assert "population(ranks) = population of a rank * ranks (80 each)" in summary["law"]
    assert [one["apart"] for one in summary["differences"]] == [False, True]


def test_phases_of_rank_0_add_up_and_ranks_are_summarised(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 4: scattered(4.0)})
    point = summary["points"][1]
    parts = [point["phases"][name]["rank_0"]["median"] for name in PHASES]
    assert sum(parts) == pytest.approx(4.0)
    assert parts[0] == 2.0 and point["phases"]["simulate"]["max"]["median"] == pytest.approx(2.03)
    assert point["phases"]["simulate"]["median"]["median"] == pytest.approx(2.015)
    assert point["phases"]["score"]["max"]["median"] == pytest.approx(0.25)  # rank 0 has everybody's scores too
    assert (point["phases"]["ready"]["max"]["median"], point["phases"]["init"]["rank_0"]["median"]) == (4.0, 5.0)
    assert summary["per_individual"]["simulate"]["n"] == 11 + 44
    assert summary["per_individual"]["evolve"]["median"] == pytest.approx(0.1 / 80)


def test_figures_show_the_medians_the_intervals_and_the_ideal(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 2: scattered(5.0), 4: scattered(4.0)})
    axes = time_by_size(summary).axes[0]
    drawn = {str(line.get_label()): line.get_ydata() for line in axes.lines}
    assert list(drawn["ideal from 8 s at 1"]) == [8.0, 4.0, 2.0]
    assert list(axes.containers[0][0].get_ydata()) == [8.0, 5.0, 4.0]
    bars = axes.containers[0][2][0].get_segments()
    assert bars[1][:, 1] == pytest.approx([summary["points"][1]["seconds"][name] for name in ("low", "high")])
    stacked = phases_by_size(summary).axes[0]
    tops = np.sum([[bar.get_height() for bar in one] for one in stacked.containers], axis=0)
    assert tops == pytest.approx([8.0, 5.0, 4.0])


def test_a_problem_sweep_shows_its_line(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 2: scattered(5.0), 4: scattered(4.0)})
    summary |= {"study": "problem", "sweeps": "population", "fit": {"constant": 0.5, "slope": 0.002, "r2": 0.98765}}
    for point, population in zip(summary["points"], (500, 1000, 5000), strict=True):
        point |= {"population": population, "bound_s": None}
    labels = [str(line.get_label()) for line in time_by_size(summary).axes[0].lines]
    assert "0.5 s + 2 ms each, R2 = 0.9877" in labels
    assert "R2 = 0.9877" in "\n".join(report_lines(summary))


def test_too_few_times_have_no_interval_and_are_named(tmp_path):
    summary = written(tmp_path, {1: scattered(8.0), 2: scattered(5.0)[:4]})
    assert summary["points"][1]["speed_up"] is None and summary["points"][1]["seconds"]["low"] is None
    text = summary_text(summary)
    assert "fewer than 6 times: 2." in text and "too few" in text
    assert write_report(tmp_path, summary).exists()  # figures and tables do without


def test_launches_that_differ_are_an_error(tmp_path):
    written(tmp_path, {1: scattered(8.0), 2: scattered(5.0)})
    path = tmp_path / "timings.jsonl"
    path.write_text(path.read_text().replace('"hash": "3"', '"hash": "x"', 1))
    with pytest.raises(EngineError, match=r"generation 3 has other numbers on 2 ranks \(h\) than on 1 \(h\)"):
        check_same_numbers(Raw(tmp_path).launches())
