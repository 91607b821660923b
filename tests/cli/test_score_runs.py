"""Runs whose scores need more than a fit file: ranges over generation 0, distances, older ledgers; resumed, shown."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import hpcfit
from hpcfit.errors import LedgerError
from hpcfit.population.ledger import Ledger, same_numbers

FEATURES = 'features = ["Spikecount", "AP_amplitude", "voltage_base"]'
STATISTICS = "[targets.step.statistics.soma]\nSpikecount = [2, 0.5]\nAP_amplitude = [75, 3]\nvoltage_base = [-66, 1]\n"
RECORDINGS = '[targets.step]\nrecordings = "cell.h5"\n'
RANGES = (FEATURES, f'{FEATURES}\nunit = "range"\nlist_values = "each"')


def record(tmp_path: Path) -> None:
    t_ms = np.arange(0, 50.05, 0.1)
    with h5py.File(tmp_path / "cell.h5", "w") as file:
        for number, peaks in enumerate(((14.0, 30.0), (14.5, 31.0))):
            spikes = sum((90 * np.exp(-(((t_ms - peak) / 0.5) ** 2)) for peak in peaks), np.zeros(len(t_ms)))
            file[f"s/{number}/voltage_mV"] = -66 + spikes
            file[f"s/{number}"].attrs["dt_ms"] = 0.1


def test_ranges_are_those_of_generation_0_also_when_a_run_goes_on(tiny):
    file = tiny(RANGES)
    whole = hpcfit.run(file, folder="whole", generations=3)
    hpcfit.run(file, folder="parts", generations=1)
    parts = hpcfit.run(file, folder="parts", generations=3)
    assert same_numbers(Ledger.open(Path("whole")), Ledger.open(Path("parts"))) == []
    first = whole.generation(0).arrays["features"]
    ranges = np.nanmax(first, axis=0) - np.nanmin(first, axis=0)
    assert whole.terms["sd"] == pytest.approx(np.maximum(ranges, [0.5, 3.75, 0.5]))
    assert np.array_equal(whole.terms["sd"], parts.terms["sd"]) and np.any(ranges > [0.5, 3.75, 0.5])
    last = whole.generation(2).arrays
    apart = np.minimum(np.abs(last["features"] - whole.terms["mean"]) / whole.terms["sd"], 25)
    expected = np.where(np.isfinite(last["features"]), apart, 25)
    assert last["contributions"] == pytest.approx(expected)


def test_distances_are_run_and_shown(tiny, tmp_path):
    record(tmp_path)
    tables = "\n[[scores]]\n".join(
        [
            FEATURES,
            'trace = { kind = "rms", align = "first_spike", windows = [{ start_ms = 5, end_ms = 40, weight = 2 }] }',
            'trace = { kind = "soft_dtw", every_ms = 0.5 }',
            'trace = { kind = "van_rossum", unit = "repeats" }',
            'trace = "victor_purpura"',
        ]
    )
    view = hpcfit.run(tiny((STATISTICS, RECORDINGS), (FEATURES, tables)), generations=2)
    names = [str(name) for name in view.terms["feature"]]
    assert names[3:] == ["trace.rms", "trace.soft_dtw", "trace.van_rossum", "trace.victor_purpura"]
    assert [str(unit) for unit in view.terms["unit"]] == ["sd"] * 3 + ["distance"] * 4
    values = view.generation(0).arrays["features"][:, 3:]
    assert np.all(values[np.isfinite(values)] >= 0) and np.isfinite(values).all(axis=1).any()
    page = (view.folder / "report" / "report.html").read_text()
    assert all(name in page for name in names)


def older(folder: Path, **changed: object) -> None:
    """Make the ledger one of a version without the settings and columns that came with units and distances."""
    with h5py.File(folder / "ledger.h5", "r+") as file:
        settings = json.loads(file["settings"].asstr()[()]) | changed
        del settings["weighting"], file["settings"]
        for score in settings["scores"]:
            del score["unit"], score["list_values"]
            score["trace"] = score["trace"]["kind"] if score["trace"] else None
        file["settings"] = json.dumps(settings)
        for column in ("unit", "list_values"):
            del file[f"tables/terms/{column}"]


def test_an_older_ledger_is_shown_and_goes_on(tiny, tmp_path):
    record(tmp_path)
    file = tiny((STATISTICS, RECORDINGS), (FEATURES, f'{FEATURES}\n[[scores]]\ntrace = "rms"'))
    whole = hpcfit.run(file, folder="whole", generations=3)
    hpcfit.run(file, folder="old", generations=2)
    older(Path("old"))
    assert hpcfit.open_run("old").best_scores().tolist() == whole.best_scores()[:2].tolist()
    parts = hpcfit.run(file, folder="old", generations=3)
    assert np.array_equal(parts.stack("scores"), whole.stack("scores"))
    # What the older version did not have is at its default: anything else is another fit.
    file.write_text(file.read_text().replace("[engine]", "[weighting]\nbudget = 2\n[engine]"))
    with pytest.raises(LedgerError, match=r"started with weighting.budget = null, the fit file now has 2\.0"):
        hpcfit.run(file, folder="old", generations=4)
