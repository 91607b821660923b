"""What does a study say in numbers?  OUT/summary.json, for programs: reports, ReFrame, `hpcfit scale predict`.

    schema            1
    study, name       strong | weak | problem | stimuli | scores; the name of the fit
    sweeps            the field of a point that grows: ranks, population, stimuli or scores
    law               in words, what is held and what grows; of a weak study: the function
    source            of the design, "" where it is the user's own
    workers           threads that simulate, of each rank (0: an even share of the cores)
    warm_up           first generations of each launch that are kept in timings.jsonl and not used
    confidence, goal  of intervals; part of the median that they were to be within
    ended             why measuring ended
    environment       of the latest launch, see machine.py; environments: how many different ones there were; load:
                      least and greatest of the machine when a launch began
    points            in the order of what is swept:
        ranks, nodes, population, stimuli, scores      sizes; stimuli and scores as they were simulated and scored
        note                                           what was added to the file's stimuli or score functions
        launches, generations                          how often it was started; how many times were used
        seconds       SAMPLE of the wall time of a generation
        per_launch    medians of each launch
        ideal_s       strong: base * base ranks / ranks; weak: base; else base * size / base size; null at no base
        bound_s       strong, weak: ideal_s, less what cannot be shared out because rank 0 does it alone, which stays
                      (strong) or grows with the population (weak)
        speed_up, efficiency   {median, low, high} against the base point, from both intervals; null without intervals
        phases        NAME -> {rank_0, max, median} -> SAMPLE, s a generation, over what ranks told:
                      rank_0 of evolve, simulate, score, communicate, write adds up to the wall time.  simulate and
                      score also: maximum and median over ranks.  score at rank 0 has the scores of all, from features.
                      communicate: what is left of rank 0's map, so messages and waiting for others.
                      init: s a launch, from the start of a rank's process to its first block; ready: until its work
                      was built (the rest is waiting for the others).
        individuals   {max, median}: medians over generations of the most, and the median, that a rank simulated
        best_score, best_of, hash   best score after so many generations, and the hash of the last one's numbers: of all
                      launches of this fit, however many ranks
    differences       from each point to the next: ratio, p (Kruskal-Wallis), apart (intervals share no value)
    kruskal_wallis    p over all points, null where a point has fewer than five times
    fit               constant, slope, r2 of a line through the medians against what is swept; null for two points
    per_individual    s, SAMPLE over the generations of all points:
        simulate          per individual of the rank that did it, of one rank with `workers` threads
        score             the same, of reading features where that is not hidden; of launches of several ranks (a lone
                          rank's clock has it in gather)
        evolve, write     per individual of the population, rank 0 alone
        gather            scores of all from what ranks sent, likewise; of launches of several ranks

SAMPLE is {n, median, low, high, min, max, outliers}: low and high bound the median with 95 % confidence, null if n < 6.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.jobs.scaling.design import SWEPT, Design, Point
from hpcfit.jobs.scaling.machine import SAME, SAME_MPI
from hpcfit.jobs.scaling.measure import Study, times, usable
from hpcfit.jobs.scaling.raw import Generation, Launch
from hpcfit.jobs.scaling.sanity import best_scores
from hpcfit.jobs.scaling.statistics import CONFIDENCE, Sample, differences, kruskal_wallis, line
from hpcfit.population.files import write_text

SCHEMA = 1
FILE = "summary.json"
LAWS = {
    "strong": "strong scaling: the population stays the same and the ranks grow",
    "weak": "weak scaling: population(ranks) = population of a rank * ranks",
    "problem": "problem scaling: the ranks stay the same and the population grows",
    "stimuli": "the ranks and the population stay the same and the stimuli grow",
    "scores": "the ranks and the population stay the same and the score functions grow",
}
PHASES = ("simulate", "score", "evolve", "communicate", "write")
"""Of a generation at rank 0, in the order in which figures stack them."""
_AT_RANK_0: dict[str, Callable[[Generation], float]] = {
    "simulate": lambda one: one.simulate_s[0],
    "score": lambda one: one.score_s[0] + one.gather_s,
    "evolve": lambda one: one.evolve_s,
    "communicate": lambda one: one.communicate_s,
    "write": lambda one: one.write_s,
}


def summarised(study: Study, launches: Sequence[Launch], ended: str) -> dict[str, Any]:
    """The summary, as JSON holds it."""
    design = study.design
    measured = [point for point in design.points if times(launches, point, design.warm_up)]
    groups = [times(launches, point, design.warm_up) for point in measured]
    points = [_point(study, launches, point) for point in measured]
    _against_base(points, design)
    swept = SWEPT[design.study]
    return {
        "schema": SCHEMA,
        "study": design.study,
        "name": next(iter(study.fits.values())).settings.name,
        "sweeps": swept,
        "law": LAWS[design.study] + (f" ({design.population[0]} each)" if design.study == "weak" else ""),
        "source": design.source,
        "workers": next(iter(study.fits.values())).settings.engine.workers,
        "warm_up": design.warm_up,
        "confidence": CONFIDENCE,
        "goal": design.goal,
        "ended": ended,
        "unmeasured": [getattr(point, swept) for point in design.points if point not in measured],
        "environment": launches[-1].environment if launches else {},
        "environments": _different(launches),
        "load": [pick(launch.environment.get("load", math.nan) for launch in launches) for pick in (min, max)],
        "points": points,
        "differences": [vars(one) for one in differences(groups)],
        "kruskal_wallis": kruskal_wallis(groups),
        "fit": _fit(points, swept),
        "per_individual": _per_individual(launches, design.warm_up),
    }


def write_summary(folder: Path, summary: dict[str, Any]) -> Path:
    """Write it into the study's folder.  Raises StorageError."""
    path = folder / FILE
    write_text(path, json.dumps(_plain(summary), indent=1, allow_nan=False) + "\n")
    return path


def _different(launches: Sequence[Launch]) -> int:
    """How many environments there were; one rank has no use for MPI, so its is no matter."""

    def count(names: Sequence[str], least: int) -> int:
        known = [launch.environment for launch in launches if launch.point.ranks >= least]
        return len({json.dumps([one.get(name) for name in names], sort_keys=True) for one in known})

    return max(count(SAME, 1), count(SAME_MPI, 2))


def _point(study: Study, launches: Sequence[Launch], point: Point) -> dict[str, Any]:
    warm_up, fit = study.design.warm_up, study.fits[point]
    own = [launch for launch in launches if launch.point == point]
    used = [one for launch in own for one in usable(launch, warm_up)]
    best_of, best, last_hash = best_scores(launches)[point.problem]
    most = [max(one.individuals) for one in used]
    return {
        "ranks": point.ranks,
        "nodes": own[-1].nodes,
        "population": point.population,
        "stimuli": fit.stimuli,
        "scores": fit.scores,
        "note": fit.note,
        "launches": len(own),
        "generations": len(used),
        "seconds": Sample.of([one.wall_s for one in used]).as_json(),
        "per_launch": [Sample.of([one.wall_s for one in usable(launch, warm_up)]).median for launch in own],
        "phases": {**_phases(used), **_starts(own)},
        "individuals": {
            "max": float(np.median(most)),
            "median": float(np.median([np.median(one.individuals) for one in used])),
        },
        "best_score": best,
        "best_of": best_of,
        "hash": last_hash,
    }


def _phases(used: Sequence[Generation]) -> dict[str, dict[str, Any]]:
    found = {
        name: {"rank_0": Sample.of([seconds(one) for one in used]).as_json()} for name, seconds in _AT_RANK_0.items()
    }
    for name in ("simulate", "score"):
        by_rank = [np.array(getattr(one, f"{name}_s")) for one in used]
        if name == "score":
            by_rank = [row + np.eye(1, len(row))[0] * one.gather_s for row, one in zip(by_rank, used, strict=True)]
        found[name]["max"] = Sample.of([row.max() for row in by_rank]).as_json()
        found[name]["median"] = Sample.of([np.median(row) for row in by_rank]).as_json()
    return found


def _starts(launches: Sequence[Launch]) -> dict[str, dict[str, Any]]:
    """Each launch gives one value of each kind."""
    found = {}
    for name, field in (("init", "first_block_s"), ("ready", "ready_s")):
        by_launch = [getattr(launch, field) for launch in launches if getattr(launch, field)]
        found[name] = {
            "rank_0": Sample.of([ranks[0] for ranks in by_launch if 0 in ranks]).as_json(),
            "max": Sample.of([max(ranks.values()) for ranks in by_launch]).as_json(),
            "median": Sample.of([float(np.median(list(ranks.values()))) for ranks in by_launch]).as_json(),
        }
    return found


def _against_base(points: Sequence[dict[str, Any]], design: Design) -> None:
    """Adds ideal_s, bound_s, speed_up and efficiency to each point: against the first."""
    if not points:
        return
    base, swept = points[0], SWEPT[design.study]
    base_s = base["seconds"]["median"]
    serial_s = sum(base["phases"][name]["rank_0"]["median"] for name in ("evolve", "write"))
    for point in points:
        times_more = point[swept] / base[swept]
        point["ideal_s"] = {"strong": base_s / times_more, "weak": base_s}.get(design.study, base_s * times_more)
        point["bound_s"] = None
        if design.study == "strong":
            point["bound_s"] = serial_s + (base_s - serial_s) / times_more
        elif design.study == "weak":
            point["bound_s"] = base_s - serial_s + serial_s * times_more
        point["speed_up"] = point["efficiency"] = None
        if design.study in ("strong", "weak"):
            work = point["population"] / base["population"]
            point["speed_up"] = _ratio(base["seconds"], point["seconds"], work)
            point["efficiency"] = _ratio(base["seconds"], point["seconds"], work / times_more)


def _ratio(base: dict[str, Any], other: dict[str, Any], factor: float) -> dict[str, float] | None:
    """How many times as fast, and the least and the greatest that both intervals allow."""
    if base["low"] is None or other["low"] is None:
        return None
    low, high = factor * base["low"] / other["high"], factor * base["high"] / other["low"]
    return {"median": factor * base["median"] / other["median"], "low": low, "high": high}


def _fit(points: Sequence[dict[str, Any]], swept: str) -> dict[str, float] | None:
    found = line([point[swept] for point in points], [point["seconds"]["median"] for point in points])
    return vars(found) if found else None


def _per_individual(launches: Sequence[Launch], warm_up: int) -> dict[str, Any]:
    used = [one for launch in launches for one in usable(launch, warm_up)]
    shared = [one for one in used if len(one.simulate_s) > 1]

    def each(found: Sequence[Generation], field: str) -> list[float]:
        pairs = (zip(getattr(one, field), one.individuals, strict=True) for one in found)
        return [seconds / number for pair in pairs for seconds, number in pair if number]

    def whole(found: Sequence[Generation], field: str) -> list[float]:
        return [getattr(one, field) / sum(one.individuals) for one in found]

    samples = {"simulate": each(used, "simulate_s"), "score": each(shared, "score_s")}
    samples |= {"evolve": whole(used, "evolve_s"), "write": whole(used, "write_s")}
    samples |= {"gather": whole(shared, "gather_s")}
    return {name: Sample.of(values).as_json() for name, values in samples.items()}


def _plain(value: Any) -> Any:
    """With null for what is no number: JSON has none for those."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
