"""How would this fit scale on many nodes?  A calibration, the model, and what they say as table and figure."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpcfit.errors import ConfigError
from hpcfit.population.files import make_folder, replacing, write_text
from hpcfit.report.prediction import Row, prediction_text
from hpcfit.report.write import png
from hpcfit.run.prediction.calibration import Calibration, read_calibration
from hpcfit.run.prediction.model import PARTS, Design, Job, Predicted, predict

NOW = Design()
_MOST_NODES, _MOST_POPULATION = 1 << 14, 10_000_000


@dataclass(frozen=True)
class Question:
    """What is to be predicted.

    population: in all, or else per_node for each node, or else the calibration's.  cores: of a node; slower: how many
    times what was measured simulating takes, for other cells and protocols.
    """

    nodes: tuple[int, ...]
    population: int | None = None
    per_node: int | None = None
    cores: int | None = None
    slower: float = 1.0

    def __post_init__(self) -> None:
        if not self.nodes or min(self.nodes) < 1 or max(self.nodes) > _MOST_NODES:
            raise ConfigError(f"--nodes: {list(self.nodes)}; give numbers from 1 to {_MOST_NODES}, with commas")
        if self.population is not None and self.per_node is not None:
            raise ConfigError("--population and --per-node: one of them; the first is strong scaling, the other weak")
        if not self.slower > 0:
            raise ConfigError(f"--slower = {self.slower}; give a number above 0")

    def individuals(self, nodes: int, calibration: Calibration) -> int:
        """The population on so many nodes.  Raises ConfigError when it is more than the model can follow."""
        count = self.population or (self.per_node or calibration.per_node) * nodes
        if count > _MOST_POPULATION:
            raise ConfigError(f"--nodes, --per-node: {count} individuals; the model follows up to {_MOST_POPULATION}")
        return count


@dataclass(frozen=True)
class Prediction:
    """The rows, as text, and the files that were written."""

    rows: tuple[Row, ...]
    text: str
    paths: tuple[Path, ...]


def predict_scaling(
    file: Path | None,
    calibration: Path | None,
    question: Question,
    out: Path,
    say: Callable[[str], Any] = lambda line: None,
) -> Prediction:
    """Predict, and write OUT/prediction.{txt,json,png}.

    Raises
    ------
    ConfigError
        Without a fit file and a calibration, or with both; when one of them is unusable.
    StorageError
        When a file cannot be written.
    """
    if (file is None) == (calibration is None):
        raise ConfigError("give a fit file to be measured here, or --calibration FILE, one of the two")
    if calibration is not None:
        known = read_calibration(calibration)
    else:
        from hpcfit.jobs.prediction import calibrate

        assert file is not None
        known = calibrate(file, say=say)
    known = _asked(known, question)
    rows = rows_of(known, question)
    strong = question.population is not None
    text = prediction_text(known.fit, known.machine, known.kernel.workers, rows, strong, known.assumed)
    return Prediction(rows, text, _written(make_folder(out), known, rows, text, strong))


def rows_of(calibration: Calibration, question: Question, design: Design = NOW) -> tuple[Row, ...]:
    """One for each number of nodes, with the efficiency against one node."""
    strong = question.population is not None
    alone = predict(calibration, Job(1, question.individuals(1, calibration)), design)
    rows = []
    for nodes in question.nodes:
        found = predict(calibration, Job(nodes, question.individuals(nodes, calibration)), design)
        speed = alone.total_s / found.total_s
        rows.append(_row(found, speed / nodes if strong else speed))
    return tuple(rows)


def _row(found: Predicted, efficiency: float) -> Row:
    parts = {name: float(found.parts_s[name]) for name in PARTS}
    job = found.job
    return Row(job.ranks, job.population, float(found.total_s), efficiency, found.bottleneck, found.loss, parts)


def _asked(calibration: Calibration, question: Question) -> Calibration:
    kernel = calibration.kernel
    changed = {"row_s": kernel.row_s * question.slower, "workers": question.cores or kernel.workers}
    return calibration.model_copy(update={"kernel": kernel.model_copy(update=changed)})


def _written(
    folder: Path, calibration: Calibration, rows: tuple[Row, ...], text: str, strong: bool
) -> tuple[Path, ...]:
    from hpcfit.report.plots.prediction import prediction_figure

    table, data, picture = (folder / f"prediction.{kind}" for kind in ("txt", "json", "png"))
    write_text(table, text + "\n")
    known = calibration.model_dump(by_alias=True, mode="json")
    write_text(data, json.dumps({"calibration": known, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    with replacing(picture) as temporary:
        temporary.write_bytes(png(prediction_figure(rows, strong)))
    return table, data, picture
