"""What every Comm promises, as functions that each rank calls: under pytest, and as a program under mpiexec."""

import json
import sys
import time
import traceback
from pathlib import Path

import numpy as np

ARRAYS = {
    "matrix": np.arange(6.0).reshape(2, 3),
    "odd": np.array([np.nan, -0.0, np.inf, 5e-324]),
    "none": np.empty((0, 4)),
    "strided": np.arange(12, dtype=np.int8)[::3],
    "columns": np.float32(1.5) * np.ones((3, 2), order="F", dtype=np.float32),
    "scalar": np.array(7, dtype=np.uint64),
    "big-endian": np.arange(5, dtype=">i4"),
    "flags": np.array([True, False]),
}
PATIENCE_S = 20.0


def expected(comm):
    message = comm.receive(PATIENCE_S)
    assert message is not None, "no message came"
    return message


def test_ranks_are_numbered(comm):
    assert 0 <= comm.rank < comm.size and comm.cores >= 1 and 1 <= comm.neighbours <= comm.size


def test_arrays_arrive_as_they_are(comm):
    comm.send((comm.rank + 1) % comm.size, {"from": comm.rank, "text": "µ", "nested": [1, {"a": None}]}, ARRAYS)
    message = expected(comm)
    before = (comm.rank - 1) % comm.size
    assert message.source == before
    assert message.head == {"from": before, "text": "µ", "nested": [1, {"a": None}]}
    assert list(message.arrays) == list(ARRAYS)
    for name, array in message.arrays.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape), name
        assert array.tobytes() == ARRAYS[name].tobytes(), name
        array[...] = 0  # it is the receiver's
    assert ARRAYS["matrix"][1, 2] == 5.0


def test_messages_between_two_ranks_keep_their_order(comm):
    for to in range(comm.size):
        for number in range(20):
            comm.send(to, {"number": number}, {"a": np.full(number * 500, number, float)} if number % 2 else {})
    seen = {rank: [] for rank in range(comm.size)}
    for _ in range(20 * comm.size):
        message = expected(comm)
        seen[message.source].append(message.head["number"])
        if message.arrays:
            assert np.all(message.arrays["a"] == message.head["number"])
    assert seen == {rank: list(range(20)) for rank in range(comm.size)}


def test_sending_never_waits_for_the_receiver(comm):
    # All send much to all before anyone receives: with sends that wait, nobody would ever get to receiving.
    block = np.arange(600_000.0)
    for to in range(comm.size):
        comm.send(to, {}, {"block": block + comm.rank})
    for _ in range(comm.size):
        message = expected(comm)
        assert np.array_equal(message.arrays["block"], block + message.source)


def test_nothing_to_receive(comm):
    comm.barrier()
    assert comm.receive() is None
    start = time.monotonic()
    assert comm.receive(0.1) is None
    assert 0.09 < time.monotonic() - start < 5


def test_a_message_ends_the_waiting(comm):
    comm.barrier()
    if comm.rank == comm.size - 1:
        time.sleep(0.2)
        for to in range(comm.size):
            comm.send(to, {"late": True})
    start = time.monotonic()
    assert expected(comm).head == {"late": True} and time.monotonic() - start < 10


def test_nobody_passes_a_barrier_before_all_are_there(comm):
    for late in range(comm.size):
        time.sleep(0.05 * (comm.rank == late))
        for to in range(comm.size):
            comm.send(to, {"here": comm.rank})
        comm.barrier()
        # Whatever was sent before it comes, although nobody sends any more.
        assert sorted(expected(comm).head["here"] for _ in range(comm.size)) == list(range(comm.size))
        comm.barrier()


def refusal(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def test_what_cannot_be_sent_is_refused(comm):
    assert "numbers only" in refusal(TypeError, lambda: comm.send(0, {}, {"a": np.array([{}])}))
    assert "JSON" in refusal(TypeError, lambda: comm.send(0, {"a": object()}))
    for rank in (-1, comm.size):
        assert f"no rank {rank}" in refusal(ValueError, lambda rank=rank: comm.send(rank, {}))
    comm.barrier()
    assert comm.receive(0.02) is None


CASES = {name: case for name, case in list(globals().items()) if name.startswith("test_")}


def main(folder: str) -> None:
    """Every case on every rank of MPI's world; what failed, as FOLDER/RANK.json."""
    from hpcfit.run.mpi import world

    comm, failed = world(), {}
    for name, case in CASES.items():
        try:
            case(comm)
        except AssertionError:
            failed[name] = traceback.format_exc()
        comm.barrier()
    Path(folder, f"{comm.rank}.json").write_text(json.dumps({"size": comm.size, "failed": failed}))


if __name__ == "__main__":
    main(sys.argv[1])
