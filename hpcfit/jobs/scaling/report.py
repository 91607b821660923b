"""What does a study say to people?  OUT/report: figures, tables and a page, from the summary alone."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcfit.jobs.scaling.statistics import LEAST
from hpcfit.jobs.scaling.summary import PHASES
from hpcfit.population.files import write_text
from hpcfit.report.html import html_study
from hpcfit.report.plots.scaling import phases_by_size, time_by_size
from hpcfit.report.sections import Section, read_sections, write_section

_TITLES = {
    "strong": "Strong scaling",
    "weak": "Weak scaling",
    "problem": "Problem scaling",
    "stimuli": "Scaling with stimuli",
    "scores": "Scaling with score functions",
}


def write_report(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write report/{STUDY_*.png, STUDY_*.csv, report.html} of a summary with at least one point; gives the page.

    Raises StorageError.
    """
    place = folder / "report"
    section = Section(
        name=str(summary["study"]),
        title=_TITLES[summary["study"]],
        lines=report_lines(summary),
        tables={"times": _times(summary), "phases": _phases(summary), "environment": _environment(summary)},
        figures={"time": time_by_size(summary), "phases": phases_by_size(summary)},
    )
    write_section(place, section)
    page = place / "report.html"
    write_text(page, html_study(f"{summary['name']}: {section.title.lower()}", place, read_sections(place)))
    return page


def summary_text(summary: Mapping[str, Any]) -> str:
    """For the command line: the same words, and a line a point."""
    swept = summary["sweeps"]
    heads = f"{swept:>10}{'nodes':>7}{'launches':>10}{'n':>6}{'median s':>11}{'95 % interval s':>22}{'ideal s':>10}"
    rows = [heads + ("  speed-up (interval)" if swept == "ranks" else "")]
    for point in summary["points"]:
        one = point["seconds"]
        interval = "too few" if one["low"] is None else f"{one['low']:.4g} .. {one['high']:.4g}"
        row = f"{point[swept]:10d}{point['nodes']:7d}{point['launches']:10d}{one['n']:6d}{one['median']:11.4g}"
        row += f"{interval:>22}{point['ideal_s']:10.4g}"
        if speed := point["speed_up"]:
            row += f"  {speed['median']:.3g} ({speed['low']:.3g} .. {speed['high']:.3g})"
        rows.append(row)
    return "\n".join([*report_lines(summary), *rows])


def report_lines(summary: Mapping[str, Any]) -> list[str]:
    """What was measured, how, and how far to trust it."""
    points, swept = summary["points"], summary["sweeps"]
    lines = [f"{summary['law'][0].upper()}{summary['law'][1:]}.", *filter(None, [summary["source"]])]
    lines.append(_base(summary))
    threads = summary["workers"]
    lines.append(
        f"Each rank simulates with {threads} thread{'s' * (threads > 1)}."
        if threads
        else "Each rank simulates with its even share of the cores it may use."
    )
    warm_up = summary["warm_up"]
    lines.append(
        f"Times are of whole generations of the loop that hpcfit fit runs, all ranks being ready before the first; the "
        f"first {f'{warm_up} generations' if warm_up > 1 else 'one'} of each launch {'are' if warm_up > 1 else 'is'} "
        "warm-up and not used. No time is left out as an outlier (Tukey's rule names "
        f"{sum(point['seconds']['outliers'] for point in points)} of "
        f"{sum(point['seconds']['n'] for point in points)})."
    )
    lines.append(
        "Medians with 95 % intervals from order statistics, which assume no distribution; generations of a launch "
        f"follow each other, so they are not quite independent. Measuring ended because {summary['ended']}."
    )
    wide = [str(point[swept]) for point in points if not _within(point, summary["goal"])]
    if wide:
        lines.append(
            f"Not within {100 * summary['goal']:g} % of the median, or fewer than {LEAST} times: {', '.join(wide)}."
        )
    if summary["unmeasured"]:
        lines.append(f"Not measured: {', '.join(map(str, summary['unmeasured']))}; the same command goes on.")
    if len(points) > 1:
        lines.append(_differences(summary))
    low, high = summary["load"]
    lines.append(
        f"Load of the machine when launches began: {low} to {high}, on {summary['environment']['cores']} cores."
    )
    lines.append(_sanity(points))
    if swept in ("ranks", "population"):
        one = 1e3 * summary["per_individual"]["simulate"]["median"]
        lines.append(f"Simulating an individual, all stimuli together, takes a rank {one:.4g} ms (median over all).")
    lines += [f"{point[swept]} {swept}: {point['note']}." for point in points if point["note"]]
    if swept == "scores" and points[0]["stimuli"] < points[-1]["stimuli"]:
        lines.append("Stimuli that no score function looks at are not simulated: the first points have fewer.")
    if summary["environments"] > 1:
        lines.append(f"Launches were made in {summary['environments']} different environments: timings.jsonl has each.")
    return lines


def _base(summary: Mapping[str, Any]) -> str:
    base, swept = summary["points"][0], summary["sweeps"]
    text = (
        f"Base: {base['seconds']['median']:.4g} s a generation of {base['population']} individuals on {base['ranks']} "
    )
    text += f"rank{'s' * (base['ranks'] > 1)}, {base['stimuli']} stimuli, {base['scores']} score functions"
    if fit := summary["fit"] if swept != "ranks" else None:
        text += f". Straight line through the medians: {fit['constant']:.3g} s + {fit['slope']:.4g} s each, R2 = "
        text += f"{fit['r2']:.4f}"
    return f"{text}."


def _differences(summary: Mapping[str, Any]) -> str:
    points, swept = summary["points"], summary["sweeps"]
    apart = [
        f"{points[place][swept]} to {points[place + 1][swept]}: times {one['ratio']:.3g}"
        + ("" if one["apart"] else " (intervals overlap: not told apart)")
        for place, one in enumerate(summary["differences"])
    ]
    p = summary["kruskal_wallis"]
    whole = "too few times for a test of all points" if p is None else f"Kruskal-Wallis over all points: p = {p:.2g}"
    return f"From point to point: {'; '.join(apart)}. {whole[0].upper()}{whole[1:]}."


def _sanity(points: Sequence[Mapping[str, Any]]) -> str:
    by_fit = {(point["population"], point["stimuli"], point["scores"]): point for point in points}
    if len(by_fit) == 1:
        one = points[0]
        return (
            f"Every launch gave the same numbers, bit for bit: best score {one['best_score']:.10g} after "
            f"{one['best_of']} generations."
        )
    return "All launches of a point gave the same numbers, bit for bit; points are different fits."


def _within(point: Mapping[str, Any], goal: float) -> bool:
    one = point["seconds"]
    if one["low"] is None:
        return False
    return max(one["high"] - one["median"], one["median"] - one["low"]) <= goal * one["median"]


def _times(summary: Mapping[str, Any]) -> dict[str, list[Any]]:
    points = summary["points"]
    names = ("ranks", "nodes", "population", "stimuli", "scores", "launches")
    columns: dict[str, list[Any]] = {name: [point[name] for point in points] for name in names}
    for name in ("n", "median", "low", "high", "min", "max", "outliers"):
        unit = "" if name in ("n", "outliers") else " / s"
        columns[f"{name}{unit}"] = [_number(point["seconds"][name]) for point in points]
    for name in ("ideal_s", "bound_s"):
        columns[f"{name.removesuffix('_s')} / s"] = [_number(point[name]) for point in points]
    for name in ("speed_up", "efficiency"):
        if any(point[name] for point in points):
            for part in ("median", "low", "high"):
                label = name.replace("_", "-") + ("" if part == "median" else f" {part}")
                columns[label] = [_number((point[name] or {}).get(part)) for point in points]
    return columns


def _phases(summary: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One row for each point, phase and way to summarise ranks."""
    columns: dict[str, list[Any]] = {summary["sweeps"]: [], "phase": [], "of ranks": []}
    numbers = ("n", "median", "low", "high")
    columns |= {name if name == "n" else f"{name} / s": [] for name in numbers}
    for point in summary["points"]:
        for phase in (*PHASES, "init", "ready"):
            for ranks, sample in point["phases"][phase].items():
                row = [point[summary["sweeps"]], phase, {"rank_0": "rank 0"}.get(ranks, ranks)]
                row += [_number(sample[name]) for name in numbers]
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
    return columns


def _environment(summary: Mapping[str, Any]) -> dict[str, list[str]]:
    known = summary["environment"]
    shown = {name: value if isinstance(value, str) else json.dumps(value) for name, value in known.items()}
    return {"what": list(shown), "is": list(shown.values())}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
