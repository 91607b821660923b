"""What does every rank of one launch do?  `python -m hpcfit.jobs.scaling.launched PLAN.json`, under a launcher.

The ranks run the fit as `hpcfit fit` does, by `jobs.run_on`; rank 0 notes when each generation begins and ends.
"""

import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from hpcfit import jobs
from hpcfit.biophys.settings import FitSettings
from hpcfit.config import validate
from hpcfit.errors import HpcfitError
from hpcfit.jobs import sharing
from hpcfit.jobs.clocks import lone_rank
from hpcfit.jobs.scaling.raw import Raw
from hpcfit.population.ledger import Generation
from hpcfit.population.loop import Standing
from hpcfit.run.comm import Comm, Message
from hpcfit.run.process_age import age_s

_LOOK_S = 0.1


class AllReady:
    """Rank 0's comm, on which it hears no silence before all ranks are ready: what is measured on N ranks is of N.

    A driver listens until nobody has anything to say before it deals the first block; so it waits there.
    """

    def __init__(self, comm: Comm) -> None:
        self._comm = comm
        self._ready: deque[Message] = deque()
        """Held back until the last one: a rank that is known to be ready gets work."""
        self._waits = comm.size > 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._comm, name)

    def receive(self, timeout_s: float = 0.0) -> Message | None:
        """See Comm.receive."""
        while self._waits:
            message = self._comm.receive(_LOOK_S)
            if message is not None and message.head["kind"] != "ready":
                return message  # a rank that greets, and waits for an answer, or has failed
            if message is not None:
                self._ready.append(message)
            self._waits = len(self._ready) + 1 < self._comm.size
        return self._ready.popleft() if self._ready else self._comm.receive(timeout_s)


class Noted:
    """Rank 0's notes of a launch: what `Calls` tells goes into the raw file, a line a generation."""

    def __init__(self, raw: Raw, launch: int, ranks: int) -> None:
        self._raw, self._launch, self._ranks = raw, launch, ranks
        self._known: set[int] = set()
        self._blocks: deque[tuple[int, int, Mapping[str, Any]]] = deque()
        """Of a generation that may be written while blocks of the next one are answered."""

    def block(self, rank: int, individuals: int, clocks: Mapping[str, Any]) -> None:
        """A block that counts."""
        self._blocks.append((rank, individuals, clocks))

    def generation(self, generation: Generation, standing: Standing) -> None:
        """Its end."""
        timings, number = generation.timings_s, len(generation.arrays["scores"])
        if self._ranks == 1:
            by_rank = {"simulate_s": [timings["simulate"]], "score_s": [0.0], "individuals": [number]}
            # The loop begins as soon as all is built.
            self._new_rank(0, lone_rank(age_s() - timings["total"]))
        else:
            by_rank = self._by_rank(number)
        phases = {"evolve_s": timings["evolve"], "gather_s": timings["score"], "map_s": timings["simulate"]}
        self._raw.append(
            kind="generation",
            launch=self._launch,
            number=generation.number,
            wall_s=timings["total"],
            **phases,
            write_s=max(0.0, timings["total"] - sum(phases.values())),
            **by_rank,
            best=standing.best,
            hash=numbers_hash(generation),
        )

    def _by_rank(self, individuals: int) -> dict[str, list[Any]]:
        """Adds up the blocks of a generation of so many individuals, each of which was answered once."""
        simulate_s, score_s, done = [0.0] * self._ranks, [0.0] * self._ranks, [0] * self._ranks
        while sum(done) < individuals:
            rank, number, clocks = self._blocks.popleft()
            simulate_s[rank] += clocks.get("simulate_s", 0.0)
            score_s[rank] += clocks.get("score_s", 0.0)
            done[rank] += number
            self._new_rank(rank, clocks)
        return {"simulate_s": simulate_s, "score_s": score_s, "individuals": done}

    def _new_rank(self, rank: int, clocks: Mapping[str, Any]) -> None:
        if clocks and rank not in self._known:
            self._known.add(rank)
            told = {name: clocks[name] for name in ("ready_s", "first_block_s", "host", "cores")}
            self._raw.append(kind="rank", launch=self._launch, rank=rank, **told)


def numbers_hash(generation: Generation) -> str:
    """Of every bit of a generation's arrays and counts: what `population.ledger.same_numbers` compares."""
    found = hashlib.sha256()
    for name in sorted(generation.arrays):
        array = np.ascontiguousarray(generation.arrays[name])
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(array.tobytes())
    found.update(json.dumps(dict(sorted(generation.counts.items()))).encode())
    return found.hexdigest()[:32]


def main(path: Path) -> None:
    """Run a plan: settings, base, folder, ranks, launch."""
    plan = json.loads(path.read_text(encoding="utf-8"))
    begun = time.monotonic()
    with sharing.ranks(plan["ranks"] > 1) as comm:
        if comm is not None and comm.rank:
            return sharing.serve_rank(comm)
        base, raw = Path(plan["base"]), Raw(Path(plan["folder"]))
        settings = validate(FitSettings, plan["settings"], path, base)
        noted = Noted(raw, plan["launch"], plan["ranks"])
        calls = jobs.Calls(
            on_generation=noted.generation,
            on_note=lambda note: print(f"note: {note}", flush=True),
            on_block=noted.block,
        )
        shared = cast(Comm, AllReady(comm)) if comm is not None else None
        jobs.run_on(shared, settings, path.parent / "run", calls, results=False)
        raw.append(kind="end", launch=plan["launch"], seconds=time.monotonic() - begun)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except HpcfitError as error:
        print(f"hpcfit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
