"""The best individual's responses and the recordings they are compared with, from best.h5 of a run folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import LedgerError


@dataclass(frozen=True)
class Response:
    """What one stimulus evoked."""

    stimulus: str
    sites: tuple[str, ...]
    model_v_mV: np.ndarray
    """(sites, time)"""
    dt_ms: float
    current_nA: np.ndarray | None
    """(time,)"""
    window_ms: tuple[float, float] | None
    recorded_v_mV: np.ndarray | None
    """(sweeps, recorded time)"""
    recorded_dt_ms: float
    recorded_site: str
    events_ms: np.ndarray | None = None
    """(events,) that reach its point processes."""

    @property
    def main_site(self) -> str:
        """The site of the recordings; without them the first."""
        return self.recorded_site if self.recorded_site in self.sites else self.sites[0]


def read_responses(folder: Path, best_id: int | None = None, name: str = "best.h5") -> tuple[Response, ...]:
    """The responses in the order of the file; empty while there is none, or it is not of the individual best_id.

    A run that goes on after its end may have found a better individual than the one that best.h5 was written for.

    Raises
    ------
    LedgerError
        When the file cannot be read.
    """
    path = folder / name
    if not path.exists():
        return ()
    try:
        with h5py.File(path, "r") as file:
            if best_id is not None and int(file.attrs.get("id", best_id)) != best_id:
                return ()
            groups: dict[str, Any] = {str(name): file[name] for name in file}
            return tuple(_response(name, group) for name, group in groups.items() if "model_v_mV" in group)
    except (OSError, KeyError) as error:
        raise LedgerError(f"{path}: cannot be read ({error}); remove it to get a report without traces") from error


def _response(name: str, group: Any) -> Response:
    attributes = group.attrs
    model = np.atleast_2d(group["model_v_mV"][()])
    sites = tuple(_text(site) for site in attributes.get("sites", [f"site {i}" for i in range(len(model))]))
    recorded = np.atleast_2d(group["recorded_v_mV"][()]) if "recorded_v_mV" in group else None
    current = group["current_nA"][()] if "current_nA" in group else attributes.get("current_nA")
    window = attributes.get("window_ms")
    dt_ms = float(attributes["dt_ms"])
    return Response(
        stimulus=name,
        sites=sites,
        model_v_mV=model,
        dt_ms=dt_ms,
        current_nA=None if current is None else np.asarray(current, dtype=float),
        events_ms=None if "events_ms" not in group else np.asarray(group["events_ms"][()], dtype=float),
        window_ms=None if window is None else (float(window[0]), float(window[1])),
        recorded_v_mV=recorded,
        recorded_dt_ms=float(_attribute(group, "recorded_dt_ms", dt_ms)),
        recorded_site=_text(_attribute(group, "recorded_site", sites[0])),
    )


def _attribute(group: Any, name: str, default: object) -> Any:
    """An attribute of the group, or of its recordings: both are places where a reader would look."""
    if name not in group.attrs and "recorded_v_mV" in group:
        return group["recorded_v_mV"].attrs.get(name, default)
    return group.attrs.get(name, default)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
