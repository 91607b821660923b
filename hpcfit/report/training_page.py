"""The report of a training: figures and one HTML page in RUN/report, also while it goes on."""

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, replacing, write_text
from hpcfit.report.evaluation_table import evaluation_columns, glm_lines
from hpcfit.report.html import template
from hpcfit.report.posterior_view import PosteriorView
from hpcfit.report.training_view import TrainingView, open_training_view
from hpcfit.report.words import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = (
    ("losses", "Loss", "Each term by itself; the dotted line is the epoch of the best checkpoint."),
    ("rasters", "Spikes and inferred rates", "Single validation trials; neurons in the order of their mean rate."),
    ("conditions", "PSTHs and inferred rates", "Means over the same trials of training and validation."),
    ("truth", "True and inferred rates", "Validation trials."),
    ("latents", "Latent trajectories", "Principal components of the factors; a dot where a trial starts."),
    ("inputs", "Inferred inputs", "Posterior means of validation trials."),
    ("behaviour", "Decoded behaviour", "By ridge regression from inferred rates, fitted on training trials."),
)
_PROVENANCE = ("samples", "epochs", "checkpoint", "checkpoint_sha256", "data", "seed", "created", "hpcfit")


def write_training_report(folder: str | Path) -> list[Path]:
    """Write RUN/report/NAME.png for every figure that the folder's files allow, and report.html.

    Returns
    -------
    list of Path
        The files written, report.html last.

    Raises
    ------
    LedgerError
        When the folder has no training, no epoch yet, or a file that cannot be read.
    StorageError
        When a file cannot be written; each is either the old one or the new one.
    """
    from hpcfit.report.write import png

    view = open_training_view(folder)
    if not view.number:
        raise LedgerError(f"{folder}: no epoch has been finished yet, so there is nothing to report; try again later")
    with view.posterior() as posterior:
        figures = _figures(view, posterior)
        images = {name: png(figure) for name, figure in figures.items() if figure is not None}
        page = _page(view, images, posterior)
    target = make_folder(view.folder / "report")
    for name, _, _ in PICTURES:
        if name not in images:
            (target / f"{name}.png").unlink(missing_ok=True)  # of an earlier state
    for name, image in images.items():
        with replacing(target / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    write_text(target / "report.html", page)
    return [*(target / f"{name}.png" for name in images), target / "report.html"]


def _figures(view: TrainingView, posterior: PosteriorView | None) -> dict[str, "Figure | None"]:
    from hpcfit.report.plots import training as plots
    from hpcfit.report.plots.training.rates import PSTH_SD_BINS

    chosen = (view.evaluation or {}).get("measured", {}).get("psth_sd_bins")
    figures: dict[str, Figure | None] = {"losses": plots.losses(view)}
    if posterior is not None:
        figures |= {
            "rasters": plots.rasters(posterior),
            "conditions": plots.condition_rates(posterior, PSTH_SD_BINS if chosen is None else chosen),
            "truth": plots.true_rates(posterior),
            "latents": plots.latent_trajectories(posterior),
            "inputs": plots.inferred_inputs(posterior),
        }
    return figures | {"behaviour": plots.decoded_behaviour(view)}


def _page(view: TrainingView, images: Mapping[str, bytes], posterior: PosteriorView | None) -> str:
    missing = []
    if posterior is None:
        missing.append("No posterior yet: training writes it when it ends, hpcfit infer now.")
    if view.evaluation is None:
        missing.append("Not evaluated yet: hpcfit evaluate measures the model beside simple baselines.")
    attributes = {} if posterior is None else posterior.attributes
    return template("training.html").render(
        name=view.name,
        folder=str(view.folder),
        summary=_summary(view),
        pictures=PICTURES,
        images={name: base64.b64encode(image).decode("ascii") for name, image in images.items()},
        missing=missing,
        evaluation=evaluation_columns(view.evaluation) if view.evaluation else {},
        remarks=glm_lines(view.evaluation or {}),
        skipped=list((view.evaluation or {}).get("skipped", {}).values()),
        provenance={name.replace("_", " "): str(attributes[name]) for name in _PROVENANCE if name in attributes},
        settings=json.dumps(view.settings, indent=2, ensure_ascii=False),
    )


def _summary(view: TrainingView) -> dict[str, str]:
    columns, best = view.epochs, view.best_epoch
    shown: dict[str, Any] = {"epochs": str(view.number), "time": duration(float(columns["epoch_s"].sum()))}
    if best is not None:
        shown["best epoch"] = str(int(columns["epoch"][best]))
        shown["validation NLL there"] = f"{columns['valid_nll'][best]:.5f}"
        shown["smoothed"] = f"{columns['valid_nll_smoothed'][best]:.5f}"
        if not math.isnan(r2 := float(columns["valid_r2"][best]) if "valid_r2" in columns else math.nan):
            shown["R2 against true rates"] = f"{r2:.3f}"
    model = next((row for row in (view.evaluation or {}).get("rows", ()) if row["model"] == "lfads"), {})
    for name, words in (("co_bps", "co-bps"), ("velocity_r2", "velocity R2"), ("psth_r2", "PSTH R2")):
        if name in model:
            shown[words] = f"{model[name]:.3f}"
    return shown
