"""Are large generations the same on disk as small ones, bit for bit, however they get there?"""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import StorageError
from hpcfit.population import ledger as module
from hpcfit.population.bulk import SMALL_BYTES, Room, open_to_extend
from hpcfit.population.ledger import Generation, Header, Ledger, same_numbers

HEADER = Header({}, {}, {})


@settings(max_examples=20, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.sampled_from([0, 1, 7, 5000, 9001]), st.sampled_from([1, 3, 20])), min_size=1, max_size=5
    ),
    kind=st.sampled_from([np.float64, np.float32, np.int64, np.int8, bool]),
)
def test_what_is_read_is_what_was_given(tmp_path_factory, shapes, kind):
    path, room = tmp_path_factory.mktemp("room") / "file.h5", Room()
    arrays = {
        f"a{place}": np.random.default_rng(place).integers(0, 2, shape).astype(kind)
        for place, shape in enumerate(shapes)
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("g")
        for name, values in arrays.items():
            room.make(group, name, values)
        group.attrs["after"] = 3
    room.fill(path)
    with h5py.File(path) as file:
        for name, values in arrays.items():
            read = file["g"][name][...]
            assert read.dtype == values.dtype and read.shape == values.shape and read.tobytes() == values.tobytes()
        assert file["g"].attrs["after"] == 3


def generation(number: int, rows: int) -> Generation:
    rng = np.random.default_rng(number)
    arrays = {
        "scores": rng.random(rows),
        "features": np.asfortranarray(rng.random((rows, 20))),
        "statuses": rng.integers(0, 4, (rows, 8)).astype(np.int8),
        "names": np.array([f"member {row}" for row in range(rows)]),
    }
    return Generation(number, arrays, {"number": number}, {"total": 0.5})


@pytest.mark.parametrize("rows", [50, 60_000])
def test_a_ledger_of_large_generations_equals_one_of_small_ones(tmp_path, monkeypatch, rows):
    ledgers = []
    for name, large in (("small", 1 << 60), ("large", 1)):
        monkeypatch.setattr(module, "_LARGE_BYTES", large)
        ledger = Ledger.create(tmp_path / name, HEADER)
        for number in range(3):
            ledger.append(generation(number, rows))
        assert same_numbers(Ledger.open(tmp_path / name), ledger) == []
        ledger.merge()
        ledgers.append(Ledger.open(tmp_path / name))
    assert same_numbers(*ledgers) == [] and len(ledgers[0]) == 3
    assert ledgers[1].read(2).arrays["features"].tobytes() == generation(2, rows).arrays["features"].tobytes()


def test_a_file_to_be_added_to_keeps_little_in_memory(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["a"] = [1.0]
    with open_to_extend(path) as file:
        assert file.id.get_mdc_config().max_size <= 1 << 20
        file["b"] = [2.0]
    with h5py.File(path) as file:
        assert sorted(file) == ["a", "b"]
    with pytest.raises(OSError):
        open_to_extend(tmp_path / "none.h5")


def test_a_full_disk_is_the_users_error_and_nothing_is_left(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    ledger = Ledger.create(tmp_path / "run", HEADER)
    monkeypatch.setattr(module, "_LARGE_BYTES", 1)
    ledger.append(generation(0, 9000))
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(StorageError, match="no space left on the device"):
        ledger.append(generation(1, 9000))
    assert len(Ledger.open(tmp_path / "run")) == 1 and not list(tmp_path.rglob("*.tmp"))


def test_files_that_are_large_each_are_not_merged_before_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SMALLEST_MERGE_BYTES", 1)
    monkeypatch.setattr(module, "_LARGE_FILE_BYTES", SMALL_BYTES)
    ledger = Ledger.create(tmp_path / "run", HEADER)
    for number in range(5):
        ledger.append(generation(number, 2000))
    assert len(list((tmp_path / "run" / "journal").glob("0*.h5"))) == 5
    ledger.merge()
    assert same_numbers(Ledger.open(tmp_path / "run"), ledger) == [] and len(ledger) == 5
