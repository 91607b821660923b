"""Which features can we extract, and which function of the kernel finds each?  The names are eFEL's."""

import difflib
from collections.abc import Sequence

from hpcfit.biophys.extract.ipfx_names import IPFX_FUNCTIONS
from hpcfit.errors import ConfigError

_PEAK = "voltage_at<PEAKS>"
_VALLEY = "voltage_at<VALLEYS>"
_SLOW = "voltage_at<SLOW>"
_BEGIN = "voltage_at<BEGINS>"
_HALF = "duration_half_width"

FUNCTIONS: dict[str, str] = {
    # counts and times
    "Spikecount": "spike_count",
    "spike_count": "spike_count",
    "Spikecount_stimint": "spike_count_stimint",
    "spike_count_stimint": "spike_count_stimint",
    "trace_check": "trace_check",
    "is_not_stuck": "is_not_stuck",
    "peak_time": "peak_time",
    "time_to_first_spike": "entry<latency, 0>",
    "time_to_second_spike": "entry<latency, 1>",
    "time_to_last_spike": "entry<latency, -1>",
    "inv_time_to_first_spike": "inverse<entry<latency, 0>>",
    "mean_frequency": "mean_frequency",
    "number_initial_spikes": "number_initial_spikes",
    # intervals
    "all_ISI_values": "all_isi",
    "ISIs": "all_isi",
    "ISI_values": "isis",
    "ISI_CV": "isi_cv",
    "doublet_ISI": "entry<all_isi, 0>",
    "inv_ISI_values": "inverse<all_isi>",
    "inv_first_ISI": "entry<inverse<all_isi>, 0>",
    "inv_second_ISI": "entry<inverse<all_isi>, 1>",
    "inv_third_ISI": "entry<inverse<all_isi>, 2>",
    "inv_fourth_ISI": "entry<inverse<all_isi>, 3>",
    "inv_fifth_ISI": "entry<inverse<all_isi>, 4>",
    "inv_last_ISI": "entry<inverse<all_isi>, -1>",
    "single_burst_ratio": "single_burst_ratio",
    "irregularity_index": "irregularity_index",
    "ISI_log_slope": "isi_log_slope",
    "ISI_semilog_slope": "isi_semilog_slope",
    "ISI_log_slope_skip": "isi_log_slope_skip",
    "adaptation_index": "adaptation_index",
    "adaptation_index2": "adaptation_index2",
    # bursts
    "burst_mean_freq": "burst_mean_freq",
    "burst_number": "count_of<burst_mean_freq>",
    "strict_burst_mean_freq": "strict_burst_mean_freq",
    "strict_burst_number": "count_of<strict_burst_mean_freq>",
    "interburst_duration": "interburst_duration",
    "interburst_voltage": "interburst_voltage",
    "strict_interburst_voltage": "strict_interburst_voltage",
    "interburst_min_values": "voltage_where<interburst_lows>",
    "time_to_interburst_min": "time_since_burst<interburst_lows>",
    "interburst_15percent_values": "voltage_where<interburst_points<15>>",
    "interburst_20percent_values": "voltage_where<interburst_points<20>>",
    "interburst_25percent_values": "voltage_where<interburst_points<25>>",
    "interburst_30percent_values": "voltage_where<interburst_points<30>>",
    "interburst_40percent_values": "voltage_where<interburst_points<40>>",
    "interburst_60percent_values": "voltage_where<interburst_points<60>>",
    "postburst_min_values": "voltage_where<postburst_lows>",
    "postburst_slow_ahp_values": "voltage_where<slow_ahps>",
    "time_to_postburst_slow_ahp": "time_since_burst<slow_ahps>",
    "postburst_fast_ahp_values": "voltage_where<fast_ahps>",
    "time_to_postburst_fast_ahp": "time_since_burst<fast_ahps>",
    "postburst_adp_peak_values": "voltage_where<postburst_adps>",
    "time_to_postburst_adp_peak": "time_to_postburst_adp",
    "initburst_sahp": "initburst_sahp",
    "initburst_sahp_vb": "above_base<initburst_sahp>",
    "initburst_sahp_ssse": "initburst_sahp_ssse",
    "spikes_per_burst": "spikes_per_burst",
    "spikes_per_burst_diff": "negative<differences<spikes_per_burst>>",
    "spikes_in_burst1_burst2_diff": "negative<step<spikes_per_burst, 0, 1>>",
    "spikes_in_burst1_burstlast_diff": "burst_first_last",
    # heights
    "peak_voltage": _PEAK,
    "AP_height": _PEAK,
    "AP1_peak": f"entry<{_PEAK}, 0>",
    "AP2_peak": f"entry<{_PEAK}, 1>",
    "AP2_AP1_peak_diff": f"step<{_PEAK}, 0, 1>",
    "amp_drop_first_second": f"negative<step<{_PEAK}, 0, 1>>",
    "amp_drop_first_last": "drop_first_last",
    "amp_drop_second_last": "drop_second_last",
    "max_amp_difference": "max_amp_difference",
    "AP_amplitude": "amplitude",
    "AP1_amp": "entry<amplitude, 0>",
    "AP2_amp": "entry<amplitude, 1>",
    "APlast_amp": "entry<amplitude, -1>",
    "mean_AP_amplitude": "mean_of<amplitude>",
    "AP2_AP1_diff": "step<amplitude, 0, 1>",
    "AP_amplitude_change": "changes<amplitude>",
    "AP_amplitude_diff": "differences<amplitude>",
    "AP_amplitude_from_voltagebase": f"above_base<{_PEAK}>",
    # begin, rise, fall and width
    "AP_begin_time": "begin_time",
    "AP_begin_voltage": _BEGIN,
    "AP1_begin_voltage": f"entry<{_BEGIN}, 0>",
    "AP2_begin_voltage": f"entry<{_BEGIN}, 1>",
    "AP_begin_width": "begin_width",
    "AP1_begin_width": "entry<begin_width, 0>",
    "AP2_begin_width": "entry<begin_width, 1>",
    "AP2_AP1_begin_width_diff": "step<begin_width, 0, 1>",
    "AP_duration": "duration",
    "AP_duration_change": "changes<duration>",
    "AP_duration_half_width": _HALF,
    "AP_duration_half_width_change": f"changes<{_HALF}>",
    "AP_width": "width",
    "AP_width_between_threshold": "width_between_threshold",
    "spike_half_width": "half_width",
    "spike_width2": "bend_width",
    "AP1_width": "entry<half_width, 0>",
    "AP2_width": "entry<half_width, 1>",
    "APlast_width": "entry<half_width, -1>",
    "AP_rise_time": "rise_time",
    "AP_fall_time": "fall_time",
    "AP_rise_rate": "rise_rate",
    "AP_fall_rate": "fall_rate",
    "AP_rise_rate_change": "changes<rise_rate>",
    "AP_fall_rate_change": "changes<fall_rate>",
    "AP_peak_upstroke": "peak_upstroke",
    "AP_peak_downstroke": "peak_downstroke",
    "AP_phaseslope": "phaseslope",
    "phaseslope_max": "phaseslope_max",
    # afterhyperpolarisation
    "min_AHP_values": _VALLEY,
    "AHP_depth_abs": _VALLEY,
    "AHP_depth": f"above_base<{_VALLEY}>",
    "AHP_depth_diff": f"differences<above_base<{_VALLEY}>>",
    "AHP_depth_abs_slow": _SLOW,
    "AHP_depth_slow": f"above_base<{_SLOW}>",
    "AHP_slow_time": "slow_time",
    "fast_AHP": "fast_ahp",
    "fast_AHP_change": "changes<fast_ahp>",
    "AHP_depth_from_peak": "ahp_depth_from_peak",
    "AHP1_depth_from_peak": "entry<ahp_depth_from_peak, 0>",
    "AHP2_depth_from_peak": "entry<ahp_depth_from_peak, 1>",
    "AHP_time_from_peak": "ahp_time_from_peak",
    "min_voltage_between_spikes": "min_voltage_between_spikes",
    "min_between_peaks_values": "voltage_at<BETWEEN>",
    "depolarized_base": "depolarized_base",
    "ADP_peak_values": "adp_peaks",
    "ADP_peak_amplitude": "adp_amplitude",
    # depolarisation block
    "depol_block": "no_block",
    "depol_block_bool": "is_block",
    # subthreshold
    "voltage_base": "voltage_base",
    "steady_state_voltage": "steady_state_voltage",
    "steady_state_voltage_stimend": "stimulus_end_voltage",
    "steady_state_hyper": "steady_state_hyper",
    "voltage_after_stim": "voltage_after_stim",
    "voltage_deflection": "voltage_deflection",
    "voltage_deflection_begin": "deflection_early",
    "voltage_deflection_vb_ssse": "deflection",
    "ohmic_input_resistance": "resistance<voltage_deflection>",
    "ohmic_input_resistance_vb_ssse": "resistance<deflection>",
    "minimum_voltage": "minimum_voltage",
    "maximum_voltage": "maximum_voltage",
    "maximum_voltage_from_voltagebase": "maximum_voltage_from_voltagebase",
    "sag_amplitude": "sag_amplitude",
    "sag_ratio1": "sag_ratio1",
    "sag_ratio2": "sag_ratio2",
    "sag_time_constant": "sag_time_constant",
    "time_constant": "time_constant",
    "decay_time_constant_after_stim": "decay_time_constant",
    "multiple_decay_time_constant_after_stim": "multiple_decay_time_constants",
    # with the current
    "current_base": "current_base",
    "steady_state_current_stimend": "current_end",
    "impedance": "impedance",
}
"""Feature -> the expression, in C++, of the function that finds it."""

INDEX = {name: number for number, name in enumerate(FUNCTIONS)}


def feature_names(family: str = "efel") -> tuple[str, ...]:
    """The features that we extract ourselves: eFEL's by their names, or IPFX's ("ipfx") with "ipfx:" before theirs.

    Raises
    ------
    ConfigError
        When the family is neither.
    """
    families = {"efel": FUNCTIONS, "ipfx": IPFX_FUNCTIONS}
    if family not in families:
        raise ConfigError(f"family = {family!r}; accepted: 'efel', 'ipfx'")
    return tuple(families[family])


def check_names(names: Sequence[str], where: str = "names") -> None:
    """Raises ConfigError, with the nearest name, unless every feature is one of ours."""
    for name in names:
        if name not in FUNCTIONS and name not in IPFX_FUNCTIONS:
            near = difflib.get_close_matches(name, (*FUNCTIONS, *IPFX_FUNCTIONS), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "hpcfit.features.feature_names() lists them"
            raise ConfigError(f"{where}: there is no feature {name!r} in hpcfit's extractor; {hint}")
