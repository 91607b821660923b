"""How long does a generation take on so many nodes?  Its events one after another, in simulated time.

The dealing is that of a run (run/dealing.py): the same blocks, sizes and second chances, so the model cannot drift from
the code.  Rank 0 is one server that asks, deals, receives, scores, tells; ranks are servers that compute; between them
is a network with a latency and, at rank 0, a bandwidth each way; the writer is a server beside or between generations.
"""

import heapq
from dataclasses import dataclass, field, replace

import numpy as np

from hpcfit.run.dealing import Block, Dealing, Pace
from hpcfit.run.prediction.calibration import Calibration

_LOOK_S = 0.01
"""When nothing is left to deal, rank 0 asks so often whether a block is overdue."""
_LEAVE_S = 5e-3
"""A rank that is told to drop a block has left it by then."""
_PART = 1 << 14
"""Offspring that one thread makes in one piece (evolve/breeding.py) ..."""
_ASK_ALONE = 0.3
"""... and the part of asking that no thread takes over: of 256,000, 0.24 s on one core and 0.16 s on two."""
PARTS = ("simulate", "uneven", "messages", "network", "evolve", "score", "write")


@dataclass(frozen=True)
class Design:
    """How a generation is carried out; the defaults are how it is now."""

    scores_at_ranks: bool = True
    write_beside: bool = True
    """Written while the next one is simulated, or between the two."""
    queued: int = 1
    """Blocks that a rank holds at most, the one at work included."""
    ask_threads: int = 0
    """Cores of rank 0 that make offspring; 0: as many as it has, and parts of a generation to be made."""
    ask_beside: bool = False
    """Ranks make their own offspring from the parents, which a tree of messages brings; rank 0 meanwhile too."""
    write_parallel: int = 1
    """Ranks that write at the same time, each its part."""


@dataclass(frozen=True)
class Job:
    """So many ranks, and the population they share.

    cores: of a node that holds `per_node` ranks, where these are more than it has cores for; 0: enough.
    """

    ranks: int
    population: int
    per_node: int = 1
    cores: int = 0


@dataclass(frozen=True)
class Predicted:
    """One generation in the steady state, medians over some: seconds in all, and what they went to."""

    job: Job
    total_s: float
    parts_s: dict[str, float]
    """PARTS -> s of the generation's own time; hidden work is in none of them."""
    blocks: int
    written_s: float
    """What writing takes, hidden or not."""

    @property
    def bottleneck(self) -> str:
        """What takes most of the time."""
        return max(self.parts_s, key=lambda name: self.parts_s[name])

    @property
    def loss(self) -> str:
        """What takes most of the time that is not simulating."""
        return max((name for name in self.parts_s if name != "simulate"), key=lambda name: self.parts_s[name])


def predict(calibration: Calibration, job: Job, design: Design = Design(), generations: int = 5) -> Predicted:
    """The median of some generations, after two that are not counted: the pace and the writer must settle."""
    machine, pace, writer_free_s, found = _Machine.of(calibration, job, design), Pace(), 0.0, []
    now_s = 0.0
    for _ in range(generations + 2):
        one = _Generation(machine, pace, now_s, writer_free_s)
        found.append(one.run())
        now_s, writer_free_s = one.now_s, one.writer_free_s
    kept = found[2:]
    median = sorted(kept, key=lambda one: one.total_s)[len(kept) // 2]
    return replace(median, written_s=machine.write_s)


@dataclass
class _Machine:
    """Costs in seconds for this job."""

    calibration: Calibration
    job: Job
    design: Design
    slow: float
    workers: int
    quantum: int
    speeds: np.ndarray
    noise: np.random.Generator

    @classmethod
    def of(cls, calibration: Calibration, job: Job, design: Design) -> "_Machine":
        kernel = calibration.kernel
        workers, slow = kernel.workers, 1.0
        if job.cores:
            workers = max(1, job.cores // job.per_node)
            slow = max(1.0, workers * job.per_node / job.cores)
        quantum = kernel.at_once * -(-workers // kernel.stimuli)
        noise = np.random.default_rng(1)
        speeds = np.exp(kernel.rank_spread * noise.standard_normal(job.ranks))
        return cls(calibration, job, design, slow, workers, quantum, speeds, noise)

    @property
    def write_s(self) -> float:
        writer = self.calibration.writer
        return writer.generation_s + writer.row_s * self.job.population / self.design.write_parallel

    @property
    def answer_B(self) -> int:
        sizes = self.calibration.sizes
        return sizes.features_B + (sizes.contributions_B if self.design.scores_at_ranks else 0)

    def ideal_s(self) -> float:
        """Simulating alone, evenly spread over all workers."""
        return self.calibration.kernel.row_s * self.job.population / (self.job.ranks * self.workers) * self.slow

    def block_s(self, rank: int, rows: int) -> float:
        """A block at a rank."""
        kernel = self.calibration.kernel
        pieces = -(-rows // kernel.at_once) * kernel.stimuli
        piece_s = kernel.row_s * min(kernel.at_once, rows) / kernel.stimuli
        taken_s = -(-pieces // self.workers) * piece_s + kernel.block_s
        if self.design.scores_at_ranks:
            taken_s += rows * self.calibration.rank_0.score_row_s
        noise = float(np.exp(kernel.block_spread * self.noise.standard_normal()))
        return taken_s * noise * float(self.speeds[rank]) * self.slow


@dataclass
class _Generation:
    """From asking to giving it to the writer."""

    machine: _Machine
    pace: Pace
    now_s: float
    writer_free_s: float
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    talking_s: float = 0.0
    bytes_B: int = 0

    def run(self) -> Predicted:
        machine, job, design = self.machine, self.machine.job, self.machine.design
        begun_s, costs = self.now_s, machine.calibration.rank_0
        self._does("evolve", self._ask_s())
        shared_s = self.now_s
        dealing = Dealing(job.population, job.ranks, machine.quantum, self.pace)
        if job.ranks == 1:
            self.now_s += machine.block_s(0, job.population)
        else:
            _Sharing(self, dealing).run()
        self._attribute(self.now_s - shared_s)
        if not design.scores_at_ranks and job.ranks > 1:
            self._does("score", job.population * costs.score_row_s * machine.slow)
        self._does("evolve", job.population * costs.tell_row_s * machine.slow)
        if design.write_beside:
            self._does("write", max(0.0, self.writer_free_s - self.now_s))
            self.writer_free_s = self.now_s + machine.write_s
        else:
            self._does("write", machine.write_s)
        return Predicted(job, self.now_s - begun_s, self.parts, len(dealing.blocks), 0.0)

    def talks(self, seconds: float, size_B: int) -> None:
        """Rank 0 sends or receives."""
        taken_s = (seconds + size_B * self.machine.calibration.rank_0.byte_s) * self.machine.slow
        self.now_s += taken_s
        self.talking_s += taken_s
        self.bytes_B += size_B

    def _does(self, part: str, seconds: float) -> None:
        self.parts[part] += seconds
        self.now_s += seconds

    def _ask_s(self) -> float:
        machine, design = self.machine, self.machine.design
        if design.ask_beside:  # the parents go down a tree, pipelined: twice their size, and a latency each level
            network = machine.calibration.network
            size_B = machine.job.population * machine.calibration.sizes.sent_B
            return 2 * size_B / network.bandwidth_B_s + network.latency_s * np.log2(machine.job.ranks + 1)
        population = machine.job.population
        threads = design.ask_threads or min(machine.workers, -(-population // _PART))
        share = _ASK_ALONE + (1 - _ASK_ALONE) / threads
        return population * machine.calibration.rank_0.ask_row_s * share * machine.slow

    def _attribute(self, shared_s: float) -> None:
        """What the time from the first block to the last answer went to."""
        ideal_s = min(shared_s, self.machine.ideal_s())
        messages_s = min(shared_s - ideal_s, self.talking_s)
        network_s = self.bytes_B / self.machine.calibration.network.bandwidth_B_s
        network_s = min(shared_s - ideal_s - messages_s, network_s)
        self.parts |= {"simulate": ideal_s, "messages": messages_s, "network": network_s}
        self.parts["uneven"] = shared_s - ideal_s - messages_s - network_s


class _Sharing:
    """Blocks out, answers in: Driver.map, event by event."""

    def __init__(self, generation: _Generation, dealing: Dealing) -> None:
        self._generation, self._machine, self._dealing = generation, generation.machine, dealing
        self._room = dict.fromkeys(range(self._machine.job.ranks), self._machine.design.queued)
        self._room[0] = 1
        self._free_s = dict.fromkeys(self._room, generation.now_s)
        """When each rank has done all that it was given."""
        self._waiting = set(self._room)
        """Ranks with room."""
        self._inbox: list[tuple[float, int, int, Block]] = []
        """When an answer is at rank 0, its ticket, its rank, its block."""
        self._ticket = 0
        self._gone: set[int] = set()
        """Tickets of answers that were dropped on the way."""
        self._out_s = self._in_s = generation.now_s
        """When the network to and from rank 0 is free."""
        self._asked_s = 0.0

    def run(self) -> None:
        generation = self._generation
        while not self._dealing.done:
            self._deal()
            if not self._inbox:
                generation.now_s += _LOOK_S
                continue
            arrived_s = self._inbox[0][0]
            if arrived_s > generation.now_s:
                more_s = self._machine.noise.uniform(0.0, self._look_s()) if self._inbox[0][2] else 0.0
                generation.now_s = (
                    min(arrived_s + more_s, generation.now_s + _LOOK_S) if self._idle() else (arrived_s + more_s)
                )
                if generation.now_s < arrived_s:
                    continue
            self._receive(*heapq.heappop(self._inbox)[1:])

    def _look_s(self) -> float:
        return self._machine.calibration.network.look_s

    def _idle(self) -> bool:
        """Is there somebody who could take an overdue block?"""
        return len(self._waiting) > 0

    def _deal(self) -> None:
        generation, dealing = self._generation, self._dealing
        left = dealing.blocks[-1].rows.stop < self._machine.job.population if dealing.blocks else True
        if not left and generation.now_s < self._asked_s + _LOOK_S:
            return
        for round_ in range(self._machine.design.queued):
            for rank in sorted(self._waiting, reverse=True):
                if self._room[rank] < 1 or (round_ and rank == 0):
                    continue
                block = dealing.take(rank, generation.now_s)
                if block is None:
                    self._asked_s = generation.now_s
                    return
                self._give(rank, block)

    def _give(self, rank: int, block: Block) -> None:
        generation, machine = self._generation, self._machine
        costs, network = machine.calibration.rank_0, machine.calibration.network
        self._ticket += 1
        self._room[rank] -= 1
        if not self._room[rank]:
            self._waiting.discard(rank)
        if rank == 0:
            ends_s = generation.now_s + machine.block_s(0, block.size)
            heapq.heappush(self._inbox, (ends_s, self._ticket, 0, block))
            return
        size_B = block.size * machine.calibration.sizes.sent_B
        generation.talks(costs.block_s / 2 + costs.send_s, size_B)
        self._out_s = max(generation.now_s, self._out_s) + size_B / network.bandwidth_B_s
        noticed_s = self._out_s + network.latency_s + machine.noise.uniform(0.0, network.look_s)
        begins_s = max(noticed_s, self._free_s[rank])
        self._free_s[rank] = begins_s + machine.block_s(rank, block.size)
        arrives_s = self._free_s[rank] + (costs.send_s + network.latency_s) * machine.slow
        heapq.heappush(self._inbox, (arrives_s, self._ticket, rank, block))

    def _receive(self, ticket: int, rank: int, block: Block) -> None:
        generation, costs = self._generation, self._machine.calibration.rank_0
        dropped = ticket in self._gone
        if rank:
            size_B = 0 if dropped else block.size * self._machine.answer_B
            bandwidth = self._machine.calibration.network.bandwidth_B_s
            self._in_s = max(self._in_s, generation.now_s) + size_B / bandwidth
            generation.now_s = max(generation.now_s, self._in_s)
            generation.talks(costs.block_s / 2 + costs.receive_s, size_B)
        self._room[rank] += 1
        self._waiting.add(rank)
        if dropped or rank not in block.out:
            return
        if self._dealing.answer(block.number, rank, generation.now_s):
            self._drop_others(block)

    def _drop_others(self, block: Block) -> None:
        """Whoever else has the block leaves it soon."""
        if block.tried == 1:
            return
        soon_s = self._generation.now_s + self._machine.calibration.network.latency_s + _LEAVE_S
        for place, (arrives_s, ticket, rank, other) in enumerate(self._inbox):
            if other is block:
                self._gone.add(ticket)
                self._free_s[rank] = min(self._free_s[rank], soon_s)
                self._inbox[place] = (min(arrives_s, soon_s), ticket, rank, other)
        heapq.heapify(self._inbox)
