"""Numbers as people read them: quantities, durations, improvements."""

import math


def number(value: float, digits: int = 4) -> str:
    """A number in few digits; `undefined` for NaN."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """A time in its two largest units: 3 d 04 h, 2 h 05 min, 3 min 20 s, 4.2 s."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // smaller:02d} {smaller_name}"
    return f"{whole} s"


def improvement(start: float, best: float) -> str:
    """By what factor a score fell: `3.7 times lower`."""
    if not (math.isfinite(start) and math.isfinite(best)):
        return "no comparison"
    if best >= start:
        return "no better"
    return f"{start / best:.3g} times lower" if best > 0 else "down to nothing"
