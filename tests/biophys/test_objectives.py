"""What does a strategy with several objectives see, and does it add up to the score?"""

import numpy as np
import pytest

from hpcfit.biophys.features import feature_names
from hpcfit.biophys.objectives import REST, family, objective_names, term_groups
from hpcfit.biophys.terms import Term
from hpcfit.errors import ConfigError

NAMES = [
    ("low", "AP_amplitude"),
    ("low", "Spikecount"),
    ("high", "AHP_depth"),
    ("high", "voltage_base"),
    ("high", "trace.rms"),
]
TERMS = [Term(stimulus, "soma", feature, 1.0, 1.0, 1.0, 0, "given") for stimulus, feature in NAMES]
PARTS = np.arange(15.0).reshape(3, 5) ** 2


@pytest.mark.parametrize(
    ("grouping", "columns"),
    [
        ("terms", [[0], [1], [2], [3], [4]]),
        ("stimuli", [[0, 1], [2, 3, 4]]),
        ("families", [[0, 2], [1], [3], [4]]),
        ("features", [[0], [1], [2], [3], [4]]),
        ("stimulus_families", [[0], [1], [2], [3], [4]]),
        ({"spikes": ["low.*", "AHP_*"]}, [[0, 1, 2], [3, 4]]),
        ({"trace": ["trace.*"], "base": ["high.soma.voltage_base"]}, [[0, 1, 2], [3], [4]]),
        ({"all": ["*"]}, [[0, 1, 2, 3, 4]]),
    ],
)
def test_groups(grouping, columns):
    objectives = term_groups(TERMS, grouping)({"contributions": PARTS})
    assert np.array_equal(objectives, np.stack([PARTS[:, group].sum(axis=1) for group in columns], axis=1))
    np.testing.assert_allclose(objectives.sum(axis=1), PARTS.sum(axis=1))


def test_a_feature_or_family_is_told_apart_by_stimulus_only_where_that_is_asked_for():
    terms = [Term(stimulus, "soma", "AP_width", 1.0, 1.0, 1.0, 0, "given") for stimulus in ("low", "high")]
    counts = {name: len(set(objective_names(terms, name))) for name in ("terms", "features", "stimuli")}
    assert counts == {"terms": 2, "features": 1, "stimuli": 2}
    assert len(set(objective_names(terms, "families"))) == 1 < len(set(objective_names(terms, "stimulus_families")))
    assert objective_names(terms, {"fast": ["low.*"]}) == ["fast", REST]


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (
            {"a": ["AP_amplitud"]},
            "strategy.objectives.a: AP_amplitud names no score function; did you mean AP_amplitude?",
        ),
        ({"a": ["zzz*"]}, "names no score function; hpcfit check lists them"),
        ({"a": ["low.*"], "b": ["AP_*"]}, "low.soma.AP_amplitude is in a and in b; objectives add up"),
    ],
)
def test_groups_that_cannot_be_meant(groups, says):
    with pytest.raises(ConfigError) as error:
        term_groups(TERMS, groups)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (["Spikecount", "ISI_CV", "doublet_ISI", "inv_first_ISI", "mean_frequency", "burst_number"], "spike event"),
        (["time_to_first_spike", "peak_time", "adaptation_index2", "AP_begin_time"], "spike event"),
        (["time_to_postburst_fast_ahp", "spikes_per_burst", "strict_burst_mean_freq"], "spike event"),
        (["AP_width", "AP1_amp", "AHP_depth_abs", "AHP_slow_time", "min_AHP_values", "fast_AHP"], "spike shape"),
        (["spike_half_width", "peak_voltage", "amp_drop_first_last", "phaseslope_max"], "spike shape"),
        (["voltage_base", "sag_amplitude", "ohmic_input_resistance", "time_constant", "impedance"], "subthreshold"),
        (["decay_time_constant_after_stim", "steady_state_voltage", "minimum_voltage"], "subthreshold"),
        (["trace.rms", "trace.mean_absolute"], "trace"),
    ],
)
def test_families(features, expected):
    assert {name: family(name) for name in features} == dict.fromkeys(features, expected)


def test_no_family_is_empty_or_has_everything():
    families = [family(name) for name in feature_names()]
    assert set(families) == {"spike event", "spike shape", "subthreshold"}
    assert max(map(families.count, families)) < 0.6 * len(families)
