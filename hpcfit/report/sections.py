"""What does an analysis leave?  Its numbers (CSV, HDF5), its figures (PNG, SVG) and a section for an HTML page."""

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError
from hpcfit.population.files import make_folder, replacing, write_text
from hpcfit.report.plots.style import DPI

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Columns = Mapping[str, Sequence[Any] | np.ndarray]
"""A table: columns of equal length by their headings."""
_SHOWN_ROWS = 40


@dataclass(frozen=True)
class Section:
    """One analysis, for people: what was done in words, tables, figures; and arrays for who computes on."""

    name: str
    """Of its files, and of the verb that makes them."""
    title: str
    lines: Sequence[str]
    """What was done, with how much and how it was chosen; what could not be said."""
    tables: Mapping[str, Columns] = field(default_factory=dict)
    """By what they show; each becomes a CSV file NAME_KEY.csv; the page has its first rows."""
    figures: Mapping[str, "Figure"] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    generations: int | None = None
    """How many generations its run had: the page says when there are more by now."""


@dataclass(frozen=True)
class StoredSection:
    """A section as it is read back for a page; images are PNG in base64."""

    title: str
    lines: tuple[str, ...]
    tables: tuple[Mapping[str, Any], ...]
    """caption, columns, rows, note"""
    images: Mapping[str, str]
    generations: int | None


def write_section(folder: Path, section: Section) -> list[Path]:
    """Write NAME.h5, NAME_TABLE.csv, NAME_FIGURE.png and .svg, and last NAME.json, which names them.

    Raises
    ------
    StorageError
        When a file cannot be written; each is either the old one or the new one.
    """
    make_folder(folder)
    paths = []
    for key, figure in section.figures.items():
        for kind in ("png", "svg"):
            paths.append(folder / f"{section.name}_{key}.{kind}")
            _write_figure(paths[-1], figure, kind)
    for key, columns in section.tables.items():
        paths.append(folder / f"{section.name}_{key}.csv")
        write_text(paths[-1], _csv(columns))
    if section.arrays:
        paths.append(folder / f"{section.name}.h5")
        _write_arrays(paths[-1], section)
    paths.append(folder / f"{section.name}.json")
    write_text(paths[-1], json.dumps(_index(section), indent=1) + "\n")
    return paths


def read_sections(folder: Path) -> list[StoredSection]:
    """The sections in a folder, by name; none where there is no such folder.

    Raises
    ------
    LedgerError
        When one cannot be read.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> StoredSection:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        images = {
            f"{path.stem}-{key}": base64.b64encode((path.parent / f"{path.stem}_{key}.png").read_bytes()).decode()
            for key in index["figures"]
        }
        return StoredSection(
            index["title"], tuple(index["lines"]), tuple(index["tables"]), images, index["generations"]
        )
    except (OSError, ValueError, KeyError) as error:
        raise LedgerError(f"{path}: cannot be read ({error}); remove it, or make that analysis again") from error


def _index(section: Section) -> dict[str, Any]:
    tables = []
    for key, columns in section.tables.items():
        rows = _rows(columns)
        more = f"{_SHOWN_ROWS} of {len(rows)} rows; all in {section.name}_{key}.csv" if len(rows) > _SHOWN_ROWS else ""
        shown = [[_text(value) for value in row] for row in rows[:_SHOWN_ROWS]]
        tables.append({"caption": key.replace("_", " "), "columns": list(columns), "rows": shown, "note": more})
    return {
        "title": section.title,
        "lines": list(section.lines),
        "tables": tables,
        "figures": list(section.figures),
        "generations": section.generations,
    }


def _rows(columns: Columns) -> list[tuple[Any, ...]]:
    return list(zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _csv(columns: Columns) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_rows(columns))
    return text.getvalue()


def _write_figure(path: Path, figure: "Figure", kind: str) -> None:
    image = io.BytesIO()
    figure.savefig(image, format=kind, dpi=DPI)
    with replacing(path) as temporary:
        temporary.write_bytes(image.getvalue())


def _write_arrays(path: Path, section: Section) -> None:
    content = io.BytesIO()  # written by plain I/O, whose errors are clear where HDF5's are not
    with h5py.File(content, "w") as file:
        file.attrs["schema"] = 1
        file.attrs["title"] = section.title
        for name, values in section.arrays.items():
            array = np.asarray(values)
            file[name] = array.astype(h5py.string_dtype()) if array.dtype.kind in "UO" else array
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
