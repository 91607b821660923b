"""The cell that every engine simulates: its settings, its free parameters and its sites, ready to be shared out."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hpcfit.biophys.settings import CellSettings, FitSettings, ParameterSettings, SiteSettings
from hpcfit.errors import InputError

_SWC_TYPES = ("1", "2", "3", "4")


@dataclass(frozen=True)
class Cell:
    """Morphology, mechanisms, parameters and sites of one cell."""

    settings: CellSettings
    parameters: tuple[ParameterSettings, ...]
    sites: tuple[SiteSettings, ...]

    @classmethod
    def of(cls, fit: FitSettings) -> "Cell":
        """The cell of a fit file."""
        return cls(fit.cell, fit.parameters, fit.all_sites)

    @property
    def free(self) -> tuple[ParameterSettings, ...]:
        """The free parameters: the columns of a parameter matrix."""
        return tuple(parameter for parameter in self.parameters if parameter.bounds is not None)

    def matrix(self, parameters: np.ndarray) -> np.ndarray:
        """(individuals, free parameters), float64; one individual may come as a vector.  Raises ValueError."""
        matrix = np.atleast_2d(np.asarray(parameters, dtype=float))
        if matrix.ndim != 2 or matrix.shape[1] != len(self.free):
            names = ", ".join(parameter.name for parameter in self.free)
            raise ValueError(
                f"parameters have shape {np.shape(parameters)}; expected (individuals, {len(self.free)}) for {names}"
            )
        if not np.all(np.isfinite(matrix)):
            raise ValueError("parameters hold values that are not finite; every parameter needs a number")
        return matrix


def check_morphology(path: Path) -> None:
    """Read the morphology once, so that a bad file is named with its line before anything starts.  Raises InputError.

    SWC and ASC are read by MorphIO, whose messages name the line; NEURON's own reader only gives up.
    """
    import morphio

    if not path.is_file():
        raise InputError(
            f"{path}: no such morphology; cell.morphology names an SWC or ASC file, relative to the fit file"
        )
    if path.suffix.lower() not in (".swc", ".asc"):
        raise InputError(f"{path}: morphology of type {path.suffix or '(none)'}; accepted: .swc, .asc")
    morphio.set_raise_warnings(False)
    morphio.set_maximum_warnings(0)
    try:
        morphology = morphio.Morphology(str(path))
    except morphio.MorphioError as error:
        raise InputError(f"{_one_line(str(error), path)}; mend the file") from None
    if len(morphology.soma.points) == 0:
        raise InputError(f"{path}: has no soma; a cell needs one (SWC type 1, or a CellBody)")
    if path.suffix.lower() == ".swc":
        _check_points(path)


def _check_points(path: Path) -> None:
    """What MorphIO lets pass in an SWC file, and NEURON breaks at."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        columns = line.partition("#")[0].split()
        if columns and columns[1] not in _SWC_TYPES:
            raise InputError(
                f"{path}, line {number}: type {columns[1]}; NEURON takes 1 (soma), 2 (axon), 3 (basal), 4 (apical)"
            )
        if columns and not float(columns[5]) > 0.0:
            raise InputError(f"{path}, line {number}: radius {columns[5]}; it must be above 0")


def _one_line(message: str, path: Path) -> str:
    """MorphIO's message, which spreads over lines in colours, in ours: file, line: what."""
    plain = re.sub(r"\x1b\[[0-9;]*m|, consider using .*", "", message).replace("non-existant", "non-existent")
    places = re.findall(rf"{re.escape(str(path))}:(\d+):error| at line: (\d+)", plain)
    lines = [line.strip(" :") for line in plain.splitlines() if line.strip()]
    said = ": ".join(dict.fromkeys(line for line in lines if not line.endswith(":error")))
    where = f", line{'s' * (len(places) > 1)} {', '.join(a or b for a, b in places)}" if places else ""
    return f"{path}{where}: {said}"
