"""Which of IPFX's features can we extract, and which function of the kernel finds each?

The names are those of the Allen Institute's IPFX (github.com/AllenInstitute/ipfx) with "ipfx:" before them; units are
IPFX's: s, mV, V/s, Hz, MOhm.
"""

PREFIX = "ipfx:"

_LANDMARKS = {
    # name: list of samples, whether spikes that the end of the stimulus clips are left out
    "threshold": ("SPIKES", "false"),
    "peak": ("PEAKS", "false"),
    "trough": ("TROUGHS", "true"),
    "fast_trough": ("FAST", "true"),
    "adp": ("ADPS", "true"),
    "slow_trough": ("SLOW", "true"),
    "upstroke": ("UPSTROKES", "false"),
    "downstroke": ("DOWNSTROKES", "true"),
}
_AT = {
    f"{name}_{letter}": f"landmark<{samples}, {read}, {whole}>"
    for name, (samples, whole) in _LANDMARKS.items()
    for letter, read in (("t", "TIME"), ("v", "VOLTAGE"))
}
_OTHERS = {
    "upstroke": "landmark<UPSTROKES, SLOPE, false>",
    "downstroke": "landmark<DOWNSTROKES, SLOPE, true>",
    "upstroke_downstroke_ratio": "upstroke_downstroke_ratio",
    "width": "width",
    # trains
    "avg_rate": "avg_rate",
    "latency": "latency",
    "first_isi": "first_isi",
    "mean_isi": "mean_isi",
    "median_isi": "median_isi",
    "isi_cv": "isi_cv",
    "adapt": "adapt",
    "n_pauses": "pauses<false>",
    "pause_frac": "pauses<true>",
    "max_burstiness_index": "bursts<0>",
    "num_bursts": "bursts<1>",
    # membrane
    "v_baseline": "v_baseline",
    "peak_deflect": "peak_deflect",
    "sag": "sag",
    "tau": "tau",
    "input_resistance": "input_resistance",
}
IPFX_FUNCTIONS = {PREFIX + name: call for name, call in (*_AT.items(), *_OTHERS.items())}
"""Feature -> the expression, in C++, of the function in namespace ipfx that finds it."""

IPFX_INDEX = {name: number for number, name in enumerate(IPFX_FUNCTIONS)}
IPFX_NEEDS_AMPLITUDE = frozenset({PREFIX + "input_resistance"})
"""Features that are undefined without the amplitude of the step."""
