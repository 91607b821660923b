"""How long does a rank simulate and read features, and how old was it when it could?  By its own clock."""

import socket
import time
from typing import Any

from hpcfit.population.timeline import Overlap, Timeline
from hpcfit.run.process_age import age_s
from hpcfit.run.processes import available_cores


class Clocks:
    """One rank's.  Made when its work has been built."""

    def __init__(self, timeline: Timeline) -> None:
        """timeline: on which this rank's evaluator says what it does."""
        self._timeline = timeline
        self._ready_s = age_s()
        self._first_block_s: float | None = None

    def begun(self) -> float:
        """A block begins: the moment, by `time.monotonic`."""
        if self._first_block_s is None:
            self._first_block_s = age_s()
        return time.monotonic()

    def told(self, began_s: float) -> dict[str, Any]:
        """What travels with the answer of a block that began then, as JSON.

        simulate_s: simulating; score_s: all else, so reading features where that was not hidden.  ready_s,
        first_block_s: since this process started, until its work was built and until its first block began.  host,
        cores: where it is, and how many cores it may use.
        """
        simulate_s = Overlap.of(self._timeline.events(began_s)).simulate_s
        score_s = max(0.0, time.monotonic() - began_s - simulate_s)
        return {
            "simulate_s": simulate_s,
            "score_s": score_s,
            "ready_s": self._ready_s,
            "first_block_s": self._first_block_s,
            **_place(),
        }


def lone_rank(first_block_s: float) -> dict[str, Any]:
    """As `Clocks.told`, of a rank that deals to no other and has no blocks; it begins when it is ready."""
    return {"ready_s": first_block_s, "first_block_s": first_block_s, **_place()}


def _place() -> dict[str, Any]:
    return {"host": socket.gethostname(), "cores": available_cores()}
