"""Who gets which part of a population next?  Late binding: blocks are cut as ranks become idle, so slow ones get less.

Guided sizes (Polychronopoulos & Kuck 1987, IEEE Trans. Comput. 36:1425): each block is a part of what is left, so the
last ones are small.  When nothing is left, a block that is long overdue is dealt again; the first answer counts.  What
a rank had when it was gone is dealt again at once; a block that ranks die of is cut until the row is found.
"""

from collections import deque
from dataclasses import dataclass, field

GUIDED = 2
"""A block is what is left, divided by so many times the ranks."""
OVERDUE = 2.0
"""A block that has been out for so many times what it should have taken is dealt again ..."""
OVERDUE_S = 0.05
"""... and for so long, s: less is noise."""
DEATHS = 2
"""So many ranks may die of a block before it is cut in two, or given up when it is one row."""
_LOOK_AGAIN_S = 0.2 * OVERDUE_S
"""Nothing was overdue: with a thousand ranks idle, asking for each of them at each message would take seconds."""


@dataclass
class Block:
    """Some rows of the population, and who has them since when (s): rank -> moment."""

    number: int
    rows: slice
    deaths: int = 0
    """Ranks that died while they had it, and may have died of it."""
    suspect: bool = False
    """It is part of a block that was cut because ranks died of it."""
    out: dict[int, float] = field(default_factory=dict)
    tried: int = 0
    answered: bool = False
    cut: bool = False
    """Others have taken its place."""

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
        self._returned: deque[Block] = deque()
        self.cuts = 0
        """Blocks cut because ranks died of them."""
        self.given_up: list[Block] = []
        """Single rows that ranks died of, for the caller to answer."""
        self._open: dict[int, Block] = {}
        """Dealt or returned, neither answered nor cut."""
        self._look_s = 0.0

    @property
    def done_rows(self) -> int:
        """Rows that are answered."""
        return self._answered

    @property
    def done(self) -> bool:
        """Is every row answered?"""
        return self._answered == self._rows

    def returned(self) -> list[Block]:
        """Blocks that nobody has because those who had them are gone."""
        return list(self._returned)

    def anything(self, now_s: float) -> bool:
        """May an idle rank get something now?  Costs next to nothing."""
        return self._dealt < self._rows or bool(self._returned) or now_s >= self._look_s

    def take(
        self, rank: int, now_s: float, bold: bool = True, last: bool = False, notice_s: float = 0.0
    ) -> Block | None:
        """What an idle rank is to do: a block whose rank is gone, the next one, one that is overdue elsewhere, or
        nothing for now.

        bold: whether the rank may die.  One that may not gets no block that another may have died of, but for the
        first death when there is no other rank (last); and one that is overdue only when its rank would be known to
        be dead if it were, after notice_s.
        """

        def allowed(block: Block) -> bool:
            return bold or not block.deaths or (last and not block.suspect)

        block = next(filter(allowed, self._returned), None) if self._returned else None
        if block is not None:
            self._returned.remove(block)
        elif self._dealt < self._rows:
            block = self._next()
        else:
            late = self._overdue(rank, now_s, 0.0 if bold else notice_s)
            block = min(filter(allowed, late), key=lambda block: (block.tried, block.number), default=None)
        if block is not None:
            block.out[rank] = now_s
            block.tried += 1
        return block

    def answer(self, number: int, rank: int, now_s: float) -> bool:
        """A rank has done a block; is that the first answer?"""
        block = self.blocks[number]
        began_s = block.out.pop(rank)
        if block.answered or block.cut:
            return False
        self._pace.took(block.size, now_s - began_s)
        self.settle(block)
        return True

    def settle(self, block: Block) -> None:
        """It counts as answered."""
        block.answered = True
        self._open.pop(block.number, None)
        self._answered += block.size

    def lost(self, number: int, rank: int, blame: bool) -> None:
        """The rank that had a block is gone.  blame: it may have died of the block."""
        block = self.blocks[number]
        block.out.pop(rank)
        block.deaths += blame
        if block.answered or block.cut:
            return
        # Not when the last of those who have it is gone: as long as it is overdue, there may always be another.
        if block.deaths >= DEATHS:
            self._cut(block)
        elif not block.out:
            self._returned.append(block)

    def _cut(self, block: Block) -> None:
        """Two blocks in place of one; either has as much to answer for as one more death shows.  A row is given up."""
        if block.size == 1:
            if block not in self.given_up:
                self.given_up.append(block)
            return
        block.cut = True
        del self._open[block.number]
        self.cuts += 1
        middle = block.rows.start + block.size // 2
        for rows in (slice(block.rows.start, middle), slice(middle, block.rows.stop)):
            part = Block(len(self.blocks), rows, DEATHS - 1, suspect=True)
            self._returned.append(part)
            self._open[part.number] = part
            self.blocks.append(part)

    def _next(self) -> Block:
        left = self._rows - self._dealt
        quanta = -(-left // (GUIDED * self._ranks * self._quantum))
        size = min(left, quanta * self._quantum)
        block = Block(len(self.blocks), slice(self._dealt, self._dealt + size))
        self._dealt += size
        self.blocks.append(block)
        self._open[block.number] = block
        return block

    def _overdue(self, rank: int, now_s: float, notice_s: float) -> list[Block]:
        """Those out longer than they should be, and so much longer."""
        if now_s < self._look_s:
            return []
        late = [
            block
            for block in self._open.values()
            if block.out
            and rank not in block.out
            and now_s - notice_s - max(block.out.values()) > max(OVERDUE_S, OVERDUE * self._pace.row_s * block.size)
        ]
        self._look_s = 0.0 if late else now_s + _LOOK_AGAIN_S
        return late
