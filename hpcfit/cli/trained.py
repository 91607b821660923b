"""Verbs that come after training: infer, evaluate, submission."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpcfit.cli.app import app

Trained = Annotated[Path, typer.Argument(help="Folder of a training.", show_default=False)]


@app.command()
def infer(
    run: Trained,
    samples: Annotated[int | None, typer.Option(min=1, help="In place of posterior.samples.")] = None,
    generator_states: Annotated[bool, typer.Option("--generator-states", help="Also keep these.")] = False,
) -> None:
    """Write what a training's best model makes of its data to RUN/posterior.h5: rates, factors, inferred inputs."""
    from hpcfit.jobs import training

    changed = {"samples": samples, "generator_states": generator_states or None}
    typer.echo(training.infer(run, {name: value for name, value in changed.items() if value is not None}))


@app.command()
def evaluate(
    run: Trained,
    baselines: Annotated[str, typer.Option(help="Names with commas; all; none.")] = "all",
    behaviour: Annotated[str | None, typer.Option(help="Signal to decode.", show_default="the only one")] = None,
    lag_ms: Annotated[float, typer.Option(help="How much later than the rates the signal is read.")] = 0.0,
    psth_sd_ms: Annotated[
        float | None, typer.Option(min=0, help="Kernel of the PSTHs; the benchmark's is 70.", show_default="chosen")
    ] = None,
    glm: Annotated[bool, typer.Option("--glm", help="Also GLMs of held-out neurons: factors against history.")] = False,
) -> None:
    """Measure a trained model beside simple baselines on its validation trials; write RUN/evaluation.json."""
    from hpcfit.jobs import training
    from hpcfit.report.evaluation_table import print_evaluation

    sd_s = None if psth_sd_ms is None else psth_sd_ms / 1000.0
    asked = training.Asked(training.names_of(baselines), behaviour, lag_ms / 1000.0, sd_s, glm)
    print_evaluation(training.evaluate(run, asked), sys.stdout)


@app.command()
def submission(
    run: Trained,
    dataset: Annotated[str, typer.Argument(help="The benchmark's name: mc_maze, mc_rtt_20, ...", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="HDF5 file; other sets in it stay.")] = Path("submission.h5"),
) -> None:
    """Write a trained model's rates as the Neural Latents Benchmark takes them, and check the file."""
    from hpcfit.jobs import training

    for name, shape in training.submission(run, dataset, out).items():
        typer.echo(f"{dataset}/{name}: {' x '.join(map(str, shape))}")
    typer.echo(out)
