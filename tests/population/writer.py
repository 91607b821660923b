"""A process that appends to a ledger until it is killed, or has appended them all; says a number once it is on disk.

python writer.py FOLDER GENERATIONS ROWS
"""

import sys
from pathlib import Path

import numpy as np

from hpcfit.population import ledger as module
from hpcfit.population.ledger import Generation, Header, Ledger, ledger_path


def generation(number: int, rows: int) -> Generation:
    """Every number in it follows from `number`."""
    return Generation(number, {"scores": np.full(rows, number, float), "ids": np.arange(rows)}, {"number": number}, {})


def main(folder: Path, generations: int, rows: int) -> None:
    """Go on where the ledger stands."""
    module._SMALLEST_MERGE_BYTES, module._MOST_JOURNAL_FILES = 1, 3
    there = ledger_path(folder).exists() or (folder / "journal" / "previous.h5").exists()
    ledger = Ledger.open(folder) if there else Ledger.create(folder, Header({}, {}, {}))
    while len(ledger) < generations:
        ledger.append(generation(len(ledger), rows))
        print(len(ledger) - 1, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
