"""What `hpcfit fit` says when a run has ended."""

from hpcfit.report.run_view import RunView
from hpcfit.report.words import improvement, number

_WORST = 5


def fit_summary(view: RunView) -> str:
    """A few lines: score, best parameters, the score functions that are worst, where everything is."""
    if not view.generations:
        return f"{view.folder}: no generation was run"
    best, first = view.best, float(view.best_scores()[0])
    lines = [
        f"best score {number(best.score)} after {view.generations} generations and {view.evaluations} evaluations "
        f"(generation 0: {number(first)}, {improvement(first, best.score)})",
        "",
    ]
    width = max(len(name) for name in best.parameters)
    units = view.parameters["unit"]
    for (name, value), unit in zip(best.parameters.items(), units, strict=True):
        lines.append(f"  {name:{width}}  {number(value)} {unit}".rstrip())
    order = sorted(range(len(best.contributions)), key=lambda term: -best.contributions[term])[:_WORST]
    lines += ["", "worst score functions of the best individual (model, target, sd):"]
    for term in order:
        terms = {name: column[term] for name, column in view.terms.items()}
        lines.append(
            f"  {terms['stimulus']}.{terms['site']}.{terms['feature']}: {number(best.features[term])}, "
            f"{number(terms['mean'])}, {number(terms['sd'])}"
        )
    return "\n".join([*lines, "", f"results in {view.folder}: best/, report/report.html, ledger.h5, log.txt"])
