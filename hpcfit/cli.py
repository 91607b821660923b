"""The command line: each verb parses, calls and prints."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpcfit.errors import HpcfitError

if TYPE_CHECKING:
    from hpcfit.report.run_view import RunView
    from hpcfit.report.sections import Section

app = typer.Typer(
    name="hpcfit",
    help="Fit biophysical neuron models to recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
importer = typer.Typer(help="Make a fit file from another tool's model.", no_args_is_help=True)
app.add_typer(importer, name="import")
mechanisms = typer.Typer(help="Look at .mod files.", no_args_is_help=True)
app.add_typer(mechanisms, name="mechanisms")
analyse = typer.Typer(
    help="Ask a finished run: trade-offs, sloppiness, sensitivity, generalisation.", no_args_is_help=True
)
app.add_typer(analyse, name="analyse")
study = typer.Typer(help="Many fits, side by side.", no_args_is_help=True)
app.add_typer(study, name="study")


class Groups(StrEnum):
    """What `analyse pareto` sums errors over."""

    stimuli = "stimuli"
    families = "families"
    terms = "terms"


FitFile = Annotated[Path, typer.Argument(help="Fit file (TOML).", show_default=False)]
Inputs = Annotated[Path | None, typer.Option(help="Folder of the fit file, if it has moved.")]
Within = Annotated[float, typer.Option(help="Good: score up to this times the best.")]
Top = Annotated[int, typer.Option(help="Most good individuals, best first.")]
Precision = Annotated[
    str | None, typer.Option(help="Of the batched simulator: single or double.", show_default="the fit's")
]
RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)]


@app.command()
def fit(
    file: FitFile,
    run: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/NAME")] = None,
    generations: Annotated[int | None, typer.Option(min=1, help="In place of run.generations; extends a run.")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Keep who was busy when, as run.timeline does.")] = False,
    mpi: Annotated[
        bool | None, typer.Option(help="Share the fit among MPI ranks.", show_default="if a launcher started several")
    ] = None,
) -> None:
    """Run a fit, or go on with it: the same command resumes where it stopped."""
    from hpcfit import jobs
    from hpcfit.jobs import sharing
    from hpcfit.report.live import Progress
    from hpcfit.report.summary import fit_summary

    changed = {"generations": generations, "timeline": timeline or None}
    changed = {name: value for name, value in changed.items() if value is not None}
    try:
        with sharing.ranks(mpi) as comm:
            if comm is not None and comm.rank:
                return sharing.serve_rank(comm)
            settings = jobs.load_settings(file)
            with Progress(generations or settings.run.generations, sys.stderr) as progress:
                calls = jobs.Calls(
                    on_generation=lambda generation, standing: progress.generation(generation, standing.best),
                    on_evaluated=progress.evaluating,
                    on_note=lambda note: typer.echo(f"note: {note}", err=True),
                )
                view = jobs.run_on(comm, file, run, calls, changed)
    except KeyboardInterrupt:
        typer.echo("hpcfit: interrupted; whole generations are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    typer.echo(fit_summary(view))


@app.command()
def check(file: FitFile) -> None:
    """Read a fit file and everything it names, build its cell once, and say what would be fitted."""
    from hpcfit import jobs

    typer.echo(jobs.describe(file))


@app.command()
def accuracy(
    file: FitFile,
    models: Annotated[int, typer.Option(min=1, help="Models that fire, drawn from the fit's bounds.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    stimuli: Annotated[str, typer.Option(help="Names, with commas.", show_default="all that are scored")] = "",
    parameters: Annotated[
        list[Path] | None, typer.Option(help="Also this model: a run's best/parameters.toml; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file for the table.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="NEURON and the three modes only, each timed once.")] = False,
) -> None:
    """Make the table of error against cost for this cell: each simulator against the limit dt -> 0."""
    from hpcfit import jobs
    from hpcfit.jobs.accuracy import Request, accuracy_table, write_table
    from hpcfit.report.accuracy_table import print_accuracy

    names = tuple(name.strip() for name in stimuli.split(",") if name.strip())
    request = Request(models, seed, names, tuple(parameters or ()), quick)
    table = accuracy_table(jobs.load(file), request, say=lambda line: typer.echo(line, err=True))
    if out is not None:
        write_table(out, table)
    print_accuracy(table, sys.stdout)


@app.command()
def status(run: RunFolder) -> None:
    """Say how far a run is."""
    from hpcfit.report.status import status_text

    typer.echo(status_text(run))


@app.command()
def plot(run: RunFolder) -> None:
    """Draw a run's plots and report again, also of one that is still going."""
    from hpcfit.report.write import write_report

    for path in write_report(run):
        typer.echo(path)


@app.command()
def timeline(
    run: RunFolder,
    generation: Annotated[int | None, typer.Option(min=0, help="Which one.", show_default="the last")] = None,
) -> None:
    """Draw who was busy with which stimulus in a generation of a run that kept its timeline; say what was hidden."""
    from hpcfit.report.timeline import write_timeline

    path, summary = write_timeline(run, generation)
    typer.echo(f"{path}\n{summary}")


@app.command()
def doctor() -> None:
    """Say what this machine has, what is wrong with it for hpcfit, and how to mend it."""
    from hpcfit.doctor import examine

    findings = examine()
    for finding in findings:
        typer.echo(finding.line())
    if any(not finding.good for finding in findings):
        raise typer.Exit(1)


@importer.command()
def bluepyopt(
    folder: Annotated[Path, typer.Argument(help="Folder with parameters.json, mechanisms.json, ...")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Fit file to write.")] = Path("fit.toml"),
    morphology: Annotated[Path | None, typer.Option(help="SWC or ASC, when the folder does not say.")] = None,
    mechanisms: Annotated[Path | None, typer.Option(help="Folder of .mod files, when the folder has none.")] = None,
) -> None:
    """Turn a BluePyOpt or BluePyEModel set of JSON files into a fit file."""
    from hpcfit import jobs

    for note in jobs.import_bluepyopt(folder, out, morphology, mechanisms):
        typer.echo(f"note: {note}", err=True)
    typer.echo(out)


@mechanisms.command("check")
def check_mechanisms(
    paths: Annotated[list[Path], typer.Argument(help="Folders or .mod files.", show_default=False)],
    against_neuron: Annotated[bool, typer.Option(help="Compare voltages with NEURON, file by file.")] = False,
) -> None:
    """Say what the batched engine makes of each .mod file: ok, or refused where and why; exit code 1 if any is."""
    from hpcfit.jobs.mechanisms import check_mechanisms, report

    rows = check_mechanisms(paths, against_neuron)
    typer.echo(report(rows))
    if not all(row.good for row in rows):
        raise typer.Exit(1)


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

    around = Around(within, top, _numbers("steps", steps), reach, points)
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


@study.command()
def population(
    file: FitFile,
    sizes: Annotated[str, typer.Option(help="Individuals a generation, with commas.")] = "1000,5000,10000",
    generations: Annotated[int, typer.Option(min=1, help="Most generations of a run.")] = 10,
    evaluations: Annotated[int | None, typer.Option(min=1, help="Most evaluations of a run.")] = None,
    seeds: Annotated[str, typer.Option(help="Numbers, with commas.")] = "1",
    wall_clock: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds that this command may take; the same command goes on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Study folder.", show_default="runs/NAME_population")
    ] = None,
) -> None:
    """Fit with several population sizes: best score against size and generation, final traces of each size."""
    from hpcfit.jobs.study import Request, population_study, study_text, write_study

    numbers = (_whole_numbers("sizes", sizes), generations, _whole_numbers("seeds", seeds), evaluations, wall_clock)
    request = Request(*numbers)
    try:
        folder, runs = population_study(file, request, out, say=lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo("hpcfit: interrupted; whole generations are kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    wanted = len(request.sizes) * len(request.seeds)
    paths = write_study(file.stem, folder, runs, wanted)
    typer.echo(study_text(runs, wanted))
    typer.echo(paths[-1])


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """0.01,0.02 as numbers.  Raises ConfigError."""
    from hpcfit.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--{option} = {text!r}; write numbers with commas, e.g. 0.01,0.02") from None


def _whole_numbers(option: str, text: str) -> tuple[int, ...]:
    """1000,5000 as numbers.  Raises ConfigError."""
    from hpcfit.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ConfigError(f"--{option} = {text!r}; write whole numbers with commas, e.g. 1,2,3") from None


def main() -> None:
    """Entry point: a user's error is one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except HpcfitError as error:
        typer.echo(f"hpcfit: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
