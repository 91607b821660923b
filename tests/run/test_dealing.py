"""Does every row of a generation count once, whoever is quick or slow, and is an overdue block dealt again?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.run.dealing import Dealing, Pace


@settings(max_examples=200, deadline=None)
@given(rows=st.integers(1, 500), ranks=st.integers(1, 9), quantum=st.integers(1, 40), data=st.data())
def test_every_row_counts_once_in_any_order(rows, ranks, quantum, data):
    pace, counted, out, now = Pace(), [], [], 0.0
    dealing = Dealing(rows, ranks, quantum, pace)
    while not dealing.done:
        now += data.draw(st.sampled_from([0.0, 0.01, 0.2, 30.0]))
        idle = sorted(set(range(ranks)) - {rank for rank, _ in out})
        for rank in data.draw(st.permutations(idle)):
            block = dealing.take(rank, now)
            if block is not None:
                assert block.size % quantum == 0 or block.rows.stop == rows
                out.append((rank, block.number))
        rank, number = out.pop(data.draw(st.integers(0, len(out) - 1)))
        before = dealing.done_rows
        if dealing.answer(number, rank, now):
            counted.append(dealing.blocks[number].rows)
        assert dealing.done_rows - before == (counted[-1].stop - counted[-1].start if dealing.done_rows > before else 0)
    assert sorted(row for part in counted for row in range(part.start, part.stop)) == list(range(rows))


def test_sizes_fall_and_a_slow_rank_gets_less():
    dealing, ends, moment = Dealing(1000, 2, 4, Pace()), {}, {0: 0.0, 1: 0.0}
    done, sizes = {0: 0, 1: 0}, []
    seconds = {0: 1.0, 1: 4.0}  # a row
    while not dealing.done:
        for rank in (0, 1):
            if rank not in ends and (block := dealing.take(rank, moment[rank])) is not None:
                ends[rank] = (moment[rank] + block.size * seconds[rank], block)
                sizes += [block.size] if block.tried == 1 else []
        rank = min(ends, key=lambda one: ends[one][0])
        now, block = ends.pop(rank)
        done[rank] += block.size if dealing.answer(block.number, rank, now) else 0
        moment = {one: now if one == rank or one not in ends else moment[one] for one in moment}
    assert sizes[0] == 252 and sizes[-1] == 4 and sizes == sorted(sizes, reverse=True)
    assert done[0] > 2 * done[1]


def test_an_overdue_block_is_dealt_once_more_and_the_first_answer_counts():
    pace = Pace()
    dealing = Dealing(40, 2, 10, pace)
    first, second = dealing.take(0, 0.0), dealing.take(1, 0.0)
    assert (first.rows, second.rows) == (slice(0, 10), slice(10, 20))
    assert dealing.answer(first.number, 0, 1.0) and pace.row_s == pytest.approx(0.1)
    third = dealing.take(0, 1.0)
    assert third.rows == slice(20, 30) and dealing.answer(third.number, 0, 1.5)
    last = dealing.take(0, 1.5)
    assert last.rows == slice(30, 40) and dealing.answer(last.number, 0, 1.9)
    assert pace.row_s == pytest.approx(0.05)
    # The other one should have taken 0.5 s: not yet late at 0.9, late at 1.9.
    assert dealing.take(0, 0.9) is None
    again = dealing.take(0, 1.9)
    assert again is second and dealing.take(1, 9.0) is None, "it has it already"
    assert dealing.answer(second.number, 0, 2.4) and dealing.done
    assert not dealing.answer(second.number, 1, 9.0) and dealing.done_rows == 40


def test_a_block_that_ranks_die_of_is_cut_although_it_was_dealt_again_before_each_death_was_known():
    dealing, now = Dealing(16, 3, 8, pace := Pace()), 0.0
    pace.took(1, 0.01)
    first = dealing.take(1, now)
    for dying, other in ((1, 2), (2, 1)):
        now += 10.0
        while (again := dealing.take(other, now)) is not first:  # the rest first
            dealing.answer(again.number, other, now)
        dealing.lost(first.number, dying, blame=True)
    assert first.cut and dealing.cuts == 1 and first.out.keys() == {1}
    halves = dealing.returned()
    assert [half.rows for half in halves] == [slice(0, 4), slice(4, 8)] and all(half.suspect for half in halves)
    assert not dealing.answer(first.number, 1, now), "its parts count, not it"
    for half in halves:
        assert dealing.take(0, now, bold=False, last=True) is None
        assert dealing.take(2, now) is half and dealing.answer(half.number, 2, now)
    assert dealing.done


def test_what_a_rank_had_that_is_not_to_blame_is_dealt_at_once_however_often():
    dealing = Dealing(8, 2, 8, Pace())
    for _ in range(10):
        block = dealing.take(1, 0.0)
        assert block.rows == slice(0, 8) and dealing.take(0, 0.0) is None
        dealing.lost(block.number, 1, blame=False)
    assert dealing.take(0, 0.0, bold=False) is block and block.deaths == 0 and dealing.cuts == 0
