"""Time limits in SLURM's writing."""

import re

from hpcfit.errors import ConfigError

UNLIMITED = float("inf")
_FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or days-hours:minutes:seconds"


def seconds(text: str) -> float:
    """Of a time limit; infinite where there is none.

    Raises
    ------
    ConfigError
        When it is in none of SLURM's forms.
    """
    if text.strip().upper() in ("INFINITE", "UNLIMITED"):
        return UNLIMITED
    match = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,2})", text.strip())
    if match is None:
        raise ConfigError(f"time {text!r}: must be {_FORMS}; for example 30, 12:00:00 or 1-12")
    numbers = [int(part) for part in match[2].split(":")]
    if match[1] is not None:
        hours, minutes, rest = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, minutes, rest = numbers
    else:
        hours, minutes, rest = [0, *numbers, 0][:3]
    return 86400.0 * int(match[1] or 0) + 3600.0 * hours + 60.0 * minutes + rest
