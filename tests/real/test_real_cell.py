"""The main job on real input: reconstruction and recordings of one real cell, from ../shared/data (never committed)."""

from pathlib import Path

import numpy as np
import pytest

import hpcfit
from hpcfit.jobs import load_settings
from hpcfit.report.responses import read_responses

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[2] / "shared" / "data"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data (a real cell) is not there"),
]


def test_targets_come_from_the_sweeps_of_each_protocol():
    problem = hpcfit.load(HERE / "c060114a7.toml")
    terms = {term.name: term for term in problem.targets.terms}
    assert {term.stimulus for term in terms.values()} == {"IDrest_200", "IV_m140", "APWaveform"}
    # The cell fires at about 17 spikes in 2 s at twice its rheobase, and not at all under hyperpolarisation.
    assert 14 <= terms["IDrest_200.soma.Spikecount"].mean <= 21
    assert terms["IV_m140.soma.Spikecount"].mean == 0
    assert -82 < terms["IV_m140.soma.minimum_voltage"].mean < -78
    assert all(term.sweeps >= 3 and term.sd > 0 for term in terms.values())
    (step,) = problem.settings.stimuli[0].electrodes
    assert 0.5 < step.amplitude_nA < 0.56, "twice the rheobase of the IDthresh sweeps, 0.263 nA"


@pytest.mark.slow
def test_a_small_fit_improves_and_draws_model_over_recording(tmp_path):
    """Coarser segments than the field's, to be quick: 24 individuals of the real morphology."""
    settings = load_settings(HERE / "c060114a7.toml")
    settings = settings.model_copy(
        update={
            "cell": settings.cell.model_copy(update={"segment_length_um": 150.0}),
            "strategy": settings.strategy.model_copy(update={"parents": 4, "offspring": 8}),
        }
    )
    view = hpcfit.run(settings, tmp_path / "run", generations=3)
    best = view.best_scores()
    assert best[-1] < best[0]
    assert np.all(np.isfinite(view.stack("scores")))
    drawn = read_responses(tmp_path / "run")
    assert [response.stimulus for response in drawn] == ["IDrest_200", "IV_m140", "APWaveform"]
    for response in drawn:
        assert response.recorded_v_mV is not None
        assert np.all(np.isfinite(response.model_v_mV))
    assert (tmp_path / "run" / "report" / "traces.png").stat().st_size > 20_000
