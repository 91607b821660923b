"""Whom does a run tell how it goes?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpcfit.population.ledger import Generation
from hpcfit.population.loop import Standing

OnBlock = Callable[[int, int, Mapping[str, Any]], Any]
"""(rank, individuals, clocks): a block of a rank counts.  jobs/clocks.py says what clocks tell; empty: it told none."""


@dataclass(frozen=True)
class Calls:
    """See `hpcfit.run`, whose arguments these are."""

    on_generation: Callable[[Generation, Standing], Any] | None = None
    on_evaluated: Callable[[int, int], Any] | None = None
    on_note: Callable[[str], Any] | None = None
    on_block: OnBlock | None = None


NO_CALLS = Calls()
