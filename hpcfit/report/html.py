"""A run as one HTML page that needs nothing else: images and style are inside it."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.report.log import FAILURES, TIMINGS
from hpcfit.report.plots.feature_errors import deviations
from hpcfit.report.plots.parameter_ranges import bound_reached
from hpcfit.report.run_view import RunView
from hpcfit.report.sections import StoredSection
from hpcfit.report.words import duration, improvement, number

_TEMPLATES = Path(__file__).parent / "templates"
_WORST_TERMS = 15


def html_report(view: RunView, images: Mapping[str, bytes], sections: Sequence[StoredSection] = ()) -> str:
    """The page.

    Parameters
    ----------
    view : RunView
        A run with at least one generation.
    images : mapping
        PNG of each figure: convergence, traces (may be missing), features, parameters.
    sections
        Analyses of the run.
    """
    return template("report.html").render(
        name=view.settings.get("name", "fit"),
        folder=str(view.folder),
        summary=_summary(view),
        times=_times(view),
        parameters=_parameters(view),
        terms=_worst_terms(view),
        images={name: base64.b64encode(image).decode("ascii") for name, image in images.items()},
        generations=_generations(view),
        generation_count=view.generations,
        sections=sections,
        environment={key: _shown(value) for key, value in view.environment.items()},
        settings=json.dumps(view.settings, indent=2, ensure_ascii=False),
    )


def html_study(name: str, folder: Path, sections: Sequence[StoredSection]) -> str:
    """A page of sections alone, of a study over several runs."""
    return template("study.html").render(name=name, folder=str(folder), sections=sections)


def template(name: str) -> Any:
    """A page of the templates folder; everything filled in is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template(name)


def _summary(view: RunView) -> dict[str, str]:
    start, best, counts = float(view.best_scores()[0]), view.best, view.counts()
    failed = sum(int(counts[cause].sum()) for cause in FAILURES if cause in counts)
    return {
        "best score": f"{best.score:.6g} sd",
        "best of generation 0": f"{start:.6g} sd",
        "improvement": improvement(start, best.score),
        "found in": f"generation {best.generation}, individual {best.id}",
        "generations": str(view.generations),
        "evaluations": str(view.evaluations),
        "failed simulations": str(failed),
        "undefined features": str(int(counts.get("undefined_features", np.zeros(1)).sum())),
    }


def _times(view: RunView) -> list[tuple[str, str, str]]:
    """Name, time, part of the total (or of the sum, when no total was measured)."""
    timings = view.timings()
    sums = {name: float(np.nansum(timings[name])) for name in (*TIMINGS, *timings) if name in timings}
    sums.pop("generation", None)
    total = sums.get("total") or sum(sums.values())
    return [(name, duration(value), f"{100 * value / total:.1f} %" if total else "") for name, value in sums.items()]


def _parameters(view: RunView) -> list[dict[str, str]]:
    rows = []
    for index, (name, value) in enumerate(view.best.parameters.items()):
        place = float(view.best.vector[index])
        row = {key: str(view.parameters[key][index]) for key in ("unit", "scale")}
        row |= {key: number(float(view.parameters[key][index])) for key in ("low", "high")}
        reached = bound_reached(place)
        note = f"at {reached} bound" if reached else ""
        rows.append(row | {"name": name, "value": number(value, 5), "place": f"{100 * place:.1f}", "note": note})
    return rows


def _worst_terms(view: RunView) -> list[dict[str, str]]:
    best, terms, errors = view.best, view.terms, deviations(view)
    worst = np.argsort(-best.contributions, kind="stable")[:_WORST_TERMS]
    return [
        {key: str(terms[key][term]) for key in ("stimulus", "site", "feature")}
        | {key: number(float(terms[key][term])) for key in ("mean", "sd", "weight")}
        | {
            "value": number(float(best.features[term])),
            "error": "" if math.isnan(errors[term]) else f"{errors[term]:+.3g}",
            "contribution": number(float(best.contributions[term])),
            "share": f"{100 * best.contributions[term] / best.score:.1f} %" if best.score > 0 else "",
        }
        for term in worst
    ]


def _generations(view: RunView) -> dict[str, list[Any]]:
    counts, totals = view.counts(), view.timings().get("total", np.full(view.generations, np.nan))
    known = [name for name in ("evaluations", *FAILURES, "undefined_features") if name in counts]
    known += [name for name in counts if name not in (*known, "generation")]
    rows = [
        [index, f"{best:.5g}", *(int(counts[name][index]) for name in known), duration(float(totals[index]))]
        for index, best in enumerate(view.best_scores())
    ]
    names = [name.replace("_", " ") for name in known]
    return {"columns": ["generation", "best so far", *names, "time"], "rows": rows}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
