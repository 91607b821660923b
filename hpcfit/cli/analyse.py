"""Verbs that ask a finished run."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcfit.cli.app import RunFolder, app, numbers

if TYPE_CHECKING:
    from hpcfit.report.run_view import RunView
    from hpcfit.report.sections import Section

analyse = typer.Typer(
    help="Ask a finished run: trade-offs, sloppiness, sensitivity, generalisation.", no_args_is_help=True
)
app.add_typer(analyse, name="analyse")


class Groups(StrEnum):
    """What `analyse pareto` sums errors over."""

    stimuli = "stimuli"
    families = "families"
    terms = "terms"


Inputs = Annotated[Path | None, typer.Option(help="Folder of the fit file, if it has moved.")]
Within = Annotated[float, typer.Option(help="Good: score up to this times the best.")]
Top = Annotated[int, typer.Option(help="Most good individuals, best first.")]
Precision = Annotated[
    str | None, typer.Option(help="Of the batched simulator: single or double.", show_default="the fit's")
]


@analyse.command()
def pareto(
    run: RunFolder,
    by: Annotated[
        Groups, typer.Option(help="What is traded: sums by stimulus or family of features, or terms.")
    ] = Groups.stimuli,
    within: Within = 1.5,
    top: Top = 2000,
) -> None:
    """Per-feature errors of the good individuals, and the front that no other beats in every group."""
    from hpcfit.jobs.analysis.pareto import pareto

    _publish(*pareto(run, by.value, within, top))


@analyse.command()
def sloppiness(
    run: RunFolder,
    within: Within = 1.5,
    top: Top = 2000,
    steps: Annotated[
        str, typer.Option(help="Of derivatives, parts of a range, with commas.")
    ] = "0.00125,0.0025,0.005,0.01,0.02",
    reach: Annotated[float, typer.Option(help="Of the profiles, part of a range.")] = 0.1,
    points: Annotated[int, typer.Option(help="Of each profile.")] = 41,
    inputs: Inputs = None,
    precision: Precision = None,
) -> None:
    """Correlations of good parameters; stiff and sloppy directions at the best individual, profiles along them."""
    from hpcfit.jobs.analysis.sloppiness import Around, sloppiness

    around = Around(within, top, numbers("steps", steps), reach, points)
    _publish(*sloppiness(run, around, inputs, precision))


@analyse.command()
def sensitivity(
    run: RunFolder,
    points: Annotated[int, typer.Option(help="Over each parameter's range.")] = 11,
    step: Annotated[float, typer.Option(help="Of derivatives at the best, part of a range.")] = 0.01,
    inputs: Inputs = None,
    precision: Precision = None,
) -> None:
    """Every feature against every parameter alone: ranges, slopes, elasticities, where it becomes undefined."""
    from hpcfit.jobs.analysis.sensitivity import sensitivity

    _publish(*sensitivity(run, points, step, inputs, precision))


@analyse.command()
def generalisation(
    run: RunFolder,
    held_out: Annotated[
        Path, typer.Argument(help="TOML file with [[stimuli]] and [targets.NAME].", show_default=False)
    ],
    stimuli: Annotated[str, typer.Option(help="Names, with commas.", show_default="all of the file")] = "",
    top: Annotated[int, typer.Option(help="So many of the best individuals.")] = 10,
    inputs: Inputs = None,
    precision: Precision = None,
) -> None:
    """The best individuals on stimuli that were not fitted: feature errors, traces over recordings."""
    from hpcfit.jobs.analysis.generalisation import HeldOut, generalisation

    names = tuple(name.strip() for name in stimuli.split(",") if name.strip())
    _publish(*generalisation(run, HeldOut(held_out, names, top), inputs, precision))


def _publish(view: "RunView", section: "Section") -> None:
    """Write an analysis and say what it found and where it is."""
    from hpcfit.jobs.analysis import publish

    paths = publish(view, section)
    typer.echo("\n".join([*section.lines, *map(str, paths)]))
