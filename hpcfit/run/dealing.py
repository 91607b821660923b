"""Who gets which part of a population next?  Late binding: blocks are cut as ranks become idle, so slow ones get less.

Guided sizes (Polychronopoulos & Kuck 1987, IEEE Trans. Comput. 36:1425): each block is a part of what is left, so the
last ones are small.  When nothing is left, a block that is long overdue is dealt again; the first answer counts.
"""

from collections import deque
from dataclasses import dataclass, field

GUIDED = 2
"""A block is what is left, divided by so many times the ranks."""
OVERDUE = 2.0
"""A block that has been out for so many times what it should have taken is dealt again ..."""
OVERDUE_S = 0.05
"""... and for so long, s: less is noise."""
_LOOK_AGAIN_S = 0.2 * OVERDUE_S
"""Nothing was overdue: with a thousand ranks idle, asking for each of them at each message would take seconds."""


@dataclass
class Block:
    """Some rows of the population, and who has them since when (s): rank -> moment."""

    number: int
    rows: slice
    out: dict[int, float] = field(default_factory=dict)
    tried: int = 0
    answered: bool = False

    @property
    def size(self) -> int:
        """Rows."""
        return self.rows.stop - self.rows.start


class Pace:
    """What a row takes, s, judged by the latest answers of all ranks; lives from generation to generation."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=64)

    def took(self, rows: int, seconds: float) -> None:
        """A block is answered."""
        self._latest.append(seconds / max(rows, 1))

    @property
    def row_s(self) -> float:
        """Median over blocks; infinite before there is one."""
        return sorted(self._latest)[len(self._latest) // 2] if self._latest else float("inf")


class Dealing:
    """The bookkeeping of one generation: no clock, no messages."""

    def __init__(self, rows: int, ranks: int, quantum: int, pace: Pace) -> None:
        """quantum: rows that a rank can do at once; blocks are multiples of it, but for the last one."""
        assert rows >= 0 and ranks >= 1 and quantum >= 1, (rows, ranks, quantum)
        self._rows, self._ranks, self._quantum, self._pace = rows, ranks, quantum, pace
        self._dealt = self._answered = 0
        self.blocks: list[Block] = []
        self._open: dict[int, Block] = {}
        """Dealt, not answered."""
        self._look_s = 0.0

    @property
    def done_rows(self) -> int:
        """Rows that are answered."""
        return self._answered

    @property
    def done(self) -> bool:
        """Is every row answered?"""
        return self._answered == self._rows

    def anything(self, now_s: float) -> bool:
        """May an idle rank get something now?  Costs next to nothing."""
        return self._dealt < self._rows or now_s >= self._look_s

    def take(self, rank: int, now_s: float) -> Block | None:
        """What an idle rank is to do: the next block, or one that is overdue elsewhere, or nothing for now."""
        block = self._next() if self._dealt < self._rows else self._overdue(rank, now_s)
        if block is not None:
            block.out[rank] = now_s
            block.tried += 1
        return block

    def answer(self, number: int, rank: int, now_s: float) -> bool:
        """A rank has done a block; is that the first answer?"""
        block = self.blocks[number]
        began_s = block.out.pop(rank)
        if block.answered:
            return False
        block.answered = True
        del self._open[number]
        self._answered += block.size
        self._pace.took(block.size, now_s - began_s)
        return True

    def _next(self) -> Block:
        left = self._rows - self._dealt
        quanta = -(-left // (GUIDED * self._ranks * self._quantum))
        size = min(left, quanta * self._quantum)
        block = Block(len(self.blocks), slice(self._dealt, self._dealt + size))
        self._dealt += size
        self.blocks.append(block)
        self._open[block.number] = block
        return block

    def _overdue(self, rank: int, now_s: float) -> Block | None:
        """Of those out longer than they should be, the one tried least, then the oldest."""
        if not self.anything(now_s):
            return None
        late = [
            block
            for block in self._open.values()
            if rank not in block.out
            and now_s - max(block.out.values(), default=now_s) > max(OVERDUE_S, OVERDUE * self._pace.row_s * block.size)
        ]
        self._look_s = 0.0 if late else now_s + _LOOK_AGAIN_S
        return min(late, key=lambda block: (block.tried, block.number), default=None)
