"""The report of a run on disk: figures and one HTML page in RUN/report."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, replacing, write_text
from hpcfit.report.html import html_report
from hpcfit.report.responses import read_responses
from hpcfit.report.run_view import open_run
from hpcfit.report.sections import read_sections
from hpcfit.report.training_page import write_training_report
from hpcfit.report.training_view import is_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(folder: str | Path) -> list[Path]:
    """Write RUN/report/{convergence,traces,features,parameters}.png and report.html; the run may still be going.

    Of a training, what `training_page.write_training_report` writes.

    Returns
    -------
    list of Path
        The files written, report.html last.  There is no traces.png while the run has no best.h5.

    Raises
    ------
    LedgerError
        When there is no ledger, no generation in it yet, or an analysis of the run that cannot be read.
    StorageError
        When a file cannot be written; each is either the old one or the new one.
    """
    from hpcfit.report import plots

    folder = Path(folder)
    if is_training(folder):
        return write_training_report(folder)
    view = open_run(folder)
    if not view.generations:
        raise LedgerError(
            f"{folder}: no generation has been finished yet, so there is nothing to report; try again later"
        )
    responses = read_responses(folder, view.best.id)
    figures = {"convergence": plots.convergence(view)}
    if responses:
        figures["traces"] = plots.traces(view, responses)
    figures |= {"features": plots.features(view), "parameters": plots.parameters(view)}
    images = {name: png(figure) for name, figure in figures.items()}
    target = make_folder(folder / "report")
    if not responses:
        # Traces of an earlier end would be taken for those of this best individual.
        (target / "traces.png").unlink(missing_ok=True)
    for name, image in images.items():
        with replacing(target / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    page = target / "report.html"
    write_text(page, html_report(view, images, read_sections(analysis_folder(folder))))
    return [*(target / f"{name}.png" for name in images), page]


def analysis_folder(run: Path) -> Path:
    """Where the analyses of a run are."""
    return run / "analysis"


def png(figure: "Figure") -> bytes:
    """The figure as a PNG file."""
    from hpcfit.report.plots.style import DPI

    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=DPI)
    return image.getvalue()
