"""How are a study's points measured?  Launch after launch, points in turn, until all intervals are narrow enough.

Points take turns, so that what drifts (a warm machine, other users) touches all of them alike; then those go on whose
interval is still wide.  What an earlier command has measured counts: timings are kept as they come.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpcfit.biophys.settings import FitSettings
from hpcfit.errors import EngineError
from hpcfit.jobs.folder import json_settings
from hpcfit.jobs.scaling.design import Design, Point
from hpcfit.jobs.scaling.machine import environment
from hpcfit.jobs.scaling.problems import Sized
from hpcfit.jobs.scaling.raw import Generation, Launch, Raw
from hpcfit.jobs.scaling.sanity import check_same_numbers
from hpcfit.jobs.scaling.statistics import LEAST, Sample
from hpcfit.population.files import make_folder, write_text
from hpcfit.run.launch import Launcher

_GRACE_S = 60.0
"""A launch that is this much over the budget is ended: its generations are longer than what was left."""
WORK = "work"
"""Where runs are, in the folder of a study, while they last."""
_LAST_WORDS = 5
_AGAIN = 75
"""Exit code of a fit that stopped before its end, on purpose."""


@dataclass(frozen=True)
class Study:
    """What is measured, and how ranks are started: `sized` gives each point's fit."""

    design: Design
    fits: dict[Point, Sized]
    base: Path
    folder: Path
    launcher: Launcher
    say: Callable[[str], Any]


def usable(launch: Launch, warm_up: int) -> list[Generation]:
    """The generations of a launch after its warm-up that had the point's population."""
    size = launch.point.population
    return [one for one in launch.generations if one.number >= warm_up and sum(one.individuals) == size]


def times(launches: Sequence[Launch], point: Point, warm_up: int) -> list[float]:
    """Seconds of every generation of a point that counts, over all its launches."""
    return [one.wall_s for launch in launches if launch.point == point for one in usable(launch, warm_up)]


def measure(study: Study, raw: Raw) -> str:
    """Launch until the goal is met at every point or the budget is spent; gives which of them it was, in words.

    Raises
    ------
    EngineError
        When a launch fails: what it last said.
        Or points that compute the same give different numbers.
    """
    design, begun = study.design, time.monotonic()
    shutil.rmtree(study.folder / WORK, ignore_errors=True)  # what a killed command has left
    while True:
        launches = raw.launches()
        check_same_numbers(launches)
        todo = [point for point in design.points if not _settled(launches, point, design)]
        if not todo:
            return f"every interval is within {100 * design.goal:g} % of its median"
        point = min(todo, key=lambda one: (_count(launches, one), design.points.index(one)))
        left_s = design.budget_s - (time.monotonic() - begun)
        if left_s <= 0 or left_s < _expected_s(launches, point):
            return f"the budget of {design.budget_s:g} s has ended; the same command goes on"
        _launch(study, raw, point, len(launches), left_s)


def _settled(launches: Sequence[Launch], point: Point, design: Design) -> bool:
    found = times(launches, point, design.warm_up)
    enough = _count(launches, point) >= design.repeats and len(found) >= LEAST
    return enough and Sample.of(found).relative <= design.goal


def _count(launches: Sequence[Launch], point: Point) -> int:
    return sum(launch.point == point and launch.seconds is not None for launch in launches)


def _expected_s(launches: Sequence[Launch], point: Point) -> float:
    """As long as the longest so far; 0 where there is none."""
    return max((launch.seconds or 0.0 for launch in launches if launch.point == point), default=0.0)


def _launch(study: Study, raw: Raw, point: Point, number: int, left_s: float) -> None:
    design, launcher = study.design, study.launcher
    place = make_folder(study.folder / WORK / f"launch_{number:04d}")
    settings = _ends(study.fits[point].settings, design.warm_up + design.generations, left_s)
    plan = {
        "settings": json_settings(settings, study.base),
        "base": str(study.base),
        "folder": str(study.folder.resolve()),
        "ranks": point.ranks,
        "launch": number,
    }
    write_text(place / "plan.json", json.dumps(plan))
    nodes, where = launcher.nodes(point.ranks), environment(launcher)
    raw.append(kind="launch", launch=number, point=asdict(point), nodes=nodes, environment=where)
    command = [
        *launcher.words(point.ranks),
        sys.executable,
        "-P",
        "-m",
        "hpcfit.run.mpi_first",
        "hpcfit.jobs.scaling.launched",
    ]
    begun = time.monotonic()
    with open(place / "log.txt", "w+", encoding="utf-8", errors="replace") as log:
        code = _run([*command, str((place / "plan.json").resolve())], log, left_s + _GRACE_S)
        log.seek(0)
        words = log.read().strip().splitlines()[-_LAST_WORDS:]
    seconds = time.monotonic() - begun
    if code in (None, _AGAIN):
        study.say(f"{_text(point)}: ended after {seconds:.0f} s, as the budget has")
        return
    if code:
        raise EngineError(f"{_text(point)} ended with exit code {code}; {place / 'log.txt'}: {' | '.join(words)}")
    shutil.rmtree(place, ignore_errors=True)
    found = Sample.of(times(raw.launches(), point, design.warm_up))
    scatter = f"{100 * found.relative:.1f} %" if found.n >= LEAST else "too few for an interval"
    study.say(f"{_text(point)}: {found.median:.4g} s a generation, n = {found.n}, interval {scatter}")


def _ends(settings: FitSettings, generations: int, left_s: float) -> FitSettings:
    """The fit's, with as many generations, all of them, unless the budget ends."""
    ends = {"generations": generations, "evaluations": None, "target_score": None, "stop": None, "timeline": False}
    return settings.model_copy(update={"run": settings.run.model_copy(update={**ends, "wall_clock_s": left_s})})


def _run(command: Sequence[str], log: Any, most_s: float) -> int | None:
    """Its exit code; None when it was ended because it took too long.  Ctrl-C and errors end it too."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(most_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.poll() is None:
            process.terminate()  # launchers pass it on to their ranks
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _text(point: Point) -> str:
    parts = [f"{point.ranks} rank{'s' * (point.ranks > 1)}", f"population {point.population}"]
    parts += [f"{point.stimuli} stimuli"] * bool(point.stimuli) + [f"{point.scores} score functions"] * bool(
        point.scores
    )
    return ", ".join(parts)
