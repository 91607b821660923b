"""What a training shows of itself: a line for each epoch, and a summary at its end."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from hpcfit.report.live import is_terminal
from hpcfit.report.words import duration

_SHOWN = {
    "train_nll": "nll",
    "valid_nll": "valid_nll",
    "valid_nll_smoothed": "smoothed",
    "train_kl_initial": "kl_initial",
    "train_kl_inputs": "kl_inputs",
    "valid_held_out": "held_out",
    "valid_r2": "r2",
    "learning_rate": "lr",
    "epoch_s": "epoch_s",
}


class EpochView:
    """One line for each epoch; on a terminal it replaces the one before, unless the validation loss was its best.

    A stream that can no longer be written to ends the display, not the training.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._terminal = stream, is_terminal(stream)
        self._best = math.inf

    def __enter__(self) -> "EpochView":
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._write("\n")

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is done."""
        smoothed = row.get("valid_nll_smoothed", math.inf)
        better, self._best = smoothed < self._best, min(self._best, smoothed)
        line = epoch_line(row) + (" best" if better else "")
        if self._terminal:
            self._write(f"\r\x1b[2K{line.split(' ', 1)[1]}")
        else:
            self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


def epoch_line(row: Mapping[str, float]) -> str:
    """A time stamp and key=value pairs."""
    parts = [f"epoch={int(row['epoch'])}"]
    for name, short in _SHOWN.items():
        value = row.get(name, math.nan)
        if not math.isnan(value):
            parts.append(f"{short}={value:.5g}")
    return " ".join([datetime.now().isoformat(timespec="seconds"), *parts])


def training_summary(folder: Path, reason: str, rows: Sequence[Mapping[str, float]]) -> str:
    """How a training ended and what it reached, in a few lines."""
    lines = [f"{reason}; {len(rows)} epochs, {duration(sum(row['epoch_s'] for row in rows))}"]
    if rows:
        best = min(rows, key=lambda row: row["valid_nll_smoothed"])
        r2 = f", R2 against true rates {best['valid_r2']:.3f}" if "valid_r2" in best else ""
        lines.append(
            f"best smoothed validation NLL {best['valid_nll_smoothed']:.5f} nats per bin and neuron at epoch "
            f"{int(best['epoch'])} (there {best['valid_nll']:.5f}{r2})"
        )
    lines.append(f"results in {folder}: best.safetensors, epochs.csv, checkpoints/")
    return "\n".join(lines)
