"""Verbs for scaling studies."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hpcfit.cli.app import FitFile, app, whole_numbers

scale = typer.Typer(help="How long a generation takes on more ranks, and with more to do.", no_args_is_help=True)
app.add_typer(scale, name="scale")

_VERBS = {
    "strong": "The same population on more and more ranks.",
    "weak": "A population that grows with the ranks: --population is that of each rank.",
    "problem": "A growing population, --population 500,1000,..., on the same ranks.",
    "stimuli": "A growing number of stimuli, --stimuli 1,2,4,..., on the same ranks.",
    "scores": "A growing number of score functions, --scores 1,20,160,..., on the same ranks.",
}
_SIZES = ("ranks", "population", "stimuli", "scores")
_EFFORT = ("generations", "warm_up", "repeats", "goal")


def _options() -> dict[str, tuple[Any, Any]]:
    """By name: type with its help, and default.  The five verbs share them."""

    def option(
        kind: Any, text: str, default: Any, shown: str | bool = True, names: tuple[str, ...] = (), **more: Any
    ) -> tuple[Any, Any]:
        return Annotated[kind, typer.Option(*names, help=text, show_default=shown, **more)], default

    return {
        "ranks": option(str | None, "Numbers of ranks, with commas.", None, "1"),
        "population": option(str | None, "Individuals a generation.", None, "the file's"),
        "stimuli": option(str | None, "How many stimuli.", None, "the file's"),
        "scores": option(str | None, "How many score functions, of all stimuli together.", None, "the file's"),
        "preset": option(str, "A published design; what is given beside it goes before it: ladd2021.", "", False),
        "scaled": option(float, "Times the preset's populations.", 1.0, min=0.0),
        "generations": option(int | None, "Measured in each launch.", None, "10", min=1),
        "warm_up": option(int, "First generations of each launch that are not used.", 1, min=1),
        "repeats": option(int, "Least launches of each point.", 2, min=1),
        "goal": option(float, "Repeat until intervals reach no further from the median than this part of it,", 0.05),
        "budget": option(float, "or this command has taken so many seconds; the same command goes on.", 600.0),
        "launcher": option(str, "srun, mpiexec or none; auto: srun in a SLURM allocation, else mpiexec.", "auto"),
        "mpi": option(str, "srun --mpi=", "", "what fits the MPI library"),
        "oversubscribe": option(bool, "Let ranks share cores.", False, False, ("--oversubscribe",)),
        "workers": option(int, "Threads that simulate, of each rank; 0: its share of the cores.", 1, min=0),
        "out": option(Path | None, "Study folder.", None, "runs/NAME_STUDY", ("--out", "-o")),
    }


def _verb(kind: Any, text: str) -> Callable[..., None]:
    """A command of this study."""

    def command(file: Path, out: Path | None, **given: Any) -> None:
        from hpcfit.jobs.scaling.study import Asked, scaling_study

        lists = {name: given.pop(name) for name in _SIZES}
        sizes: dict[str, Any] = {
            name: whole_numbers(name, numbers) if numbers is not None else None for name, numbers in lists.items()
        }
        sizes |= {name: given.pop(name) for name in _EFFORT} | {"budget_s": given.pop("budget")}
        try:
            done = scaling_study(kind, file, Asked(sizes, **given), out, lambda line: typer.echo(line, err=True))
        except KeyboardInterrupt:
            typer.echo("hpcfit: interrupted; timings are kept, the same command goes on", err=True)
            raise typer.Exit(130) from None
        typer.echo(done.text)
        typer.echo(done.page)
        if not done.whole:
            raise typer.Exit(75)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("file", keyword, annotation=FitFile)]
    for name, (annotation, default) in _options().items():
        parameters.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))
    # typer reads a signature; sixteen options five times over would be eighty lines to keep alike.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    command.__doc__ = text
    return command


for _kind, _text in _VERBS.items():
    scale.command(_kind)(_verb(_kind, _text))
