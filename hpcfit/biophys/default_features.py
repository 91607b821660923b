"""Which features are scored, and how small may an sd be, when a fit file does not say?  The names are eFEL's."""

SD_FLOORS = {
    "Spikecount": 0.5,
    "Spikecount_stimint": 0.5,
    "voltage_base": 0.5,
    "steady_state_voltage": 0.5,
    "steady_state_voltage_stimend": 0.5,
    "voltage_after_stim": 0.5,
    "minimum_voltage": 0.5,
    "maximum_voltage": 0.5,
    "AP_begin_voltage": 0.5,
    "AP_height": 0.5,
    "AHP_depth": 0.5,
    "AHP_depth_abs": 0.5,
    "AHP_depth_abs_slow": 0.5,
}
"""Smallest sd that recordings can give these features: half a spike, half a millivolt."""

DEFAULT_FEATURES = (
    "Spikecount",
    "mean_frequency",
    "time_to_first_spike",
    "ISI_values",
    "ISI_CV",
    "doublet_ISI",
    "inv_last_ISI",
    "adaptation_index2",
    "AP_amplitude",
    "AP_width",
    "AP_duration_half_width",
    "AP_begin_voltage",
    "AP_rise_rate",
    "AP_fall_rate",
    "AHP_depth",
    "AHP_slow_time",
    "voltage_base",
    "steady_state_voltage",
    "sag_amplitude",
    "decay_time_constant_after_stim",
)
"""Twenty score functions for step responses, by eFEL's names (doublet_ISI is the first interval)."""
