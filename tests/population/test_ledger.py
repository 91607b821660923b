"""Does a ledger give back what was put in, in however many files it lies, without ever copying too much?"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hpcfit.errors import LedgerError
from hpcfit.population.ledger import Generation, Header, Ledger, ledger_path, same_numbers

pytestmark = pytest.mark.usefixtures("quick_disk")

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?"),
    hnp.byte_string_dtypes(min_len=1, max_len=6),
)
# What HDF5 can hold: no NUL, no half of a surrogate pair.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES))
STRINGS = st.lists(TEXT, max_size=5).map(lambda texts: np.array(texts, dtype=str))


def kept(folder: Path, generations: list[Generation], merge: bool = False) -> Ledger:
    ledger = Ledger.create(folder, Header({}, {}, {}))
    for generation in generations:
        ledger.append(generation)
    if merge:
        ledger.merge()
    return Ledger.open(folder)


# What is put in comes out


@pytest.mark.parametrize("merge", [False, True])
@settings(max_examples=40, deadline=None)
@given(array=ARRAYS)
def test_arrays_come_back_to_the_last_bit(merge, array):
    with TemporaryDirectory() as folder:
        back = kept(Path(folder), [Generation(0, {"a": array})], merge).read(0).arrays["a"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("merge", [False, True])
@settings(max_examples=20, deadline=None)
@given(array=STRINGS, objects=st.booleans())
def test_strings_come_back(merge, array, objects):
    with TemporaryDirectory() as folder:
        given_as = array.astype(object) if objects else array
        back = kept(Path(folder), [Generation(0, {"a": given_as})], merge).read(0).arrays["a"]
    assert (back.dtype.kind, back.tolist()) == ("U", array.tolist())


def test_arrays_in_any_order_in_memory(tmp_path):
    square = np.arange(12.0).reshape(3, 4)
    arrays = {"turned": square.T, "fortran": np.asfortranarray(square), "strided": square[::2, ::-1]}
    back = kept(tmp_path, [Generation(0, arrays)]).read(0).arrays
    assert all(np.array_equal(back[name], array) for name, array in arrays.items())


def test_counts_and_timings_come_back(tmp_path):
    generation = Generation(0, {}, {"evaluations": 2**40, "none": 0}, {"simulate": 0.1, "total": 1e9})
    back = kept(tmp_path, [generation]).read(0)
    assert (back.number, back.counts, back.timings_s) == (0, generation.counts, generation.timings_s)


def test_the_header_comes_back(make_ledger, header):
    back = Ledger.open(make_ledger(1).folder).header
    assert (back.settings, back.inputs, back.environment) == (header.settings, header.inputs, header.environment)
    assert back.tables["parameters"]["name"].tolist() == ["gNa", "gK", ""]
    assert back.tables["parameters"]["low"].tobytes() == header.tables["parameters"]["low"].tobytes()


def test_a_new_ledger_is_empty_and_is_not_the_one_that_was_there(make_ledger):
    for generations in (5, 0, 5, 1):
        ledger = make_ledger(generations)
        assert (len(ledger), len(Ledger.open(ledger.folder))) == (generations, generations)


def test_no_such_generation(make_ledger):
    with pytest.raises(IndexError, match="holds generations 0 to 1, not 2"):
        make_ledger(2).read(2)


# In however many files


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["append", "append", "merge", "open", "read"]), max_size=25))
def test_any_order_of_appending_merging_and_opening(make_generation, merges_often, header, steps):
    with TemporaryDirectory() as folder:
        ledger, plain = (Ledger.create(Path(folder) / name, header) for name in ("run", "plain"))
        for step in steps:
            if step == "append":
                for each in (ledger, plain):
                    each.append(make_generation(len(each)))
            elif step == "merge":
                ledger.merge()
            elif step == "open":
                ledger = Ledger.open(ledger.folder)
            elif len(ledger):
                assert list(ledger)[-1].counts["generation"] == len(ledger) - 1
        assert len(ledger) == steps.count("append")
        assert same_numbers(ledger, plain) == []
        assert same_numbers(Ledger.open(ledger.folder), Ledger.open(plain.folder)) == []


def test_merging_again_changes_nothing(make_ledger):
    ledger = make_ledger(3)
    ledger.merge()
    before = ledger_path(ledger.folder).read_bytes()
    ledger.merge()
    assert ledger_path(ledger.folder).read_bytes() == before


def test_after_merging_one_file_holds_everything(make_ledger, make_generation, tmp_path):
    ledger = make_ledger(5)
    ledger.merge()
    (tmp_path / "alone").mkdir()
    ledger_path(ledger.folder).rename(tmp_path / "alone" / "ledger.h5")
    alone = Ledger.open(tmp_path / "alone")
    assert len(alone) == 5
    assert np.array_equal(alone.read(4).arrays["vectors"], make_generation(4).arrays["vectors"])


def test_all_files_follow_the_umask(make_ledger, merges_often):
    before = os.umask(0o027)
    try:
        ledger = make_ledger(9)
    finally:
        os.umask(before)
    files = [path for path in ledger.folder.rglob("*") if path.is_file()]
    assert len(files) > 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


# Without copying too much


def bytes_written() -> int:
    return int(next(line for line in Path("/proc/self/io").read_text().splitlines() if "wchar" in line).split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/io counts the bytes")
@pytest.mark.parametrize(("smallest", "most"), [(1, 10**9), (10**9, 4)], ids=["by-size", "by-number-of-files"])
def test_writing_grows_in_step_with_the_run(make_ledger, monkeypatch, tmp_path, smallest, most):
    monkeypatch.setattr("hpcfit.population.ledger._SMALLEST_MERGE_BYTES", smallest)
    monkeypatch.setattr("hpcfit.population.ledger._MOST_JOURNAL_FILES", most)
    written = {}
    for generations in (50, 400):
        before = bytes_written()
        make_ledger(generations, 50, tmp_path / f"{generations}")
        written[generations] = bytes_written() - before
    # Copying all of it ever again, after so many files or bytes, would make it 64 times as much.
    assert written[400] < 20 * written[50]


def test_the_journal_stays_small(make_ledger, make_generation):
    ledger = make_ledger()
    most = 0
    for number in range(300):
        ledger.append(make_generation(number))
        most = max(most, len(list((ledger.folder / "journal").iterdir())))
    # One stage waits, one more is kept beside the ledger before the last one.
    assert most <= 2 * 64 + 3
    assert len(Ledger.open(ledger.folder)) == 300


def test_large_generations_are_merged_by_their_size(make_ledger):
    ledger = make_ledger(6, rows=60_000)
    journal = list((ledger.folder / "journal").glob("0*.h5"))
    assert ledger_path(ledger.folder).stat().st_size > 3 * 60_000 * 24
    assert sum(path.stat().st_size for path in journal) <= 2 * ledger_path(ledger.folder).stat().st_size


# What is not a ledger


def test_a_folder_without_a_ledger(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(LedgerError, match=r"no ledger\.h5 in this folder; give the folder of a run"):
            Ledger.open(folder)


def test_a_newer_schema_names_both_versions(make_ledger):
    folder = make_ledger(2).folder
    with h5py.File(ledger_path(folder), "r+") as file:
        file.attrs["schema"] = 99
    with pytest.raises(LedgerError, match="schema 99, this hpcfit reads up to 1; use a newer hpcfit"):
        Ledger.open(folder)


def test_an_hdf5_file_that_is_no_ledger(tmp_path):
    with h5py.File(ledger_path(tmp_path), "w") as file:
        file["v_mV"] = np.zeros(3)
    with pytest.raises(LedgerError, match="no schema number, so it is not a ledger of hpcfit"):
        Ledger.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"name = 'fit'\n", b"\x89HDF\r\n\x1a\n" + b"\xff" * 900])
def test_a_file_of_something_else(tmp_path, content):
    ledger_path(tmp_path).write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger\.h5: damaged \(.*\) and journal/ has no copy; move the folder away"):
        Ledger.open(tmp_path)


@pytest.mark.parametrize("missing", ["settings", "tables", "generations"])
def test_a_ledger_without_one_of_its_parts(tmp_path, missing, make_ledger):
    folder = make_ledger(2).folder
    for path in (ledger_path(folder), folder / "journal" / "previous.h5"):
        with h5py.File(path, "r+") as file:
            del file[missing]
    with pytest.raises(LedgerError, match="damaged"):
        Ledger.open(folder)


# Comparing two


def two(tmp_path: Path, one: Generation, other: Generation) -> list[str]:
    return same_numbers(kept(tmp_path / "one", [one]), kept(tmp_path / "other", [other]))


PAYLOAD = np.array([0x7FF8000000000001], dtype=np.int64).view(float)
PAIRS = {
    "value": (np.array([1.0, 2.0]), np.array([1.0, np.nextafter(2.0, 3.0)])),
    "sign of zero": (np.array([0.0]), np.array([-0.0])),
    "not a number": (np.array([1.0]), np.array([np.nan])),
    "another not a number": (np.array([np.nan]), PAYLOAD),
    "type": (np.array([1, 2], dtype=np.int64), np.array([1, 2], dtype=np.uint64)),
    "width": (np.zeros(4, dtype=np.int32), np.zeros(2, dtype=np.int64)),
    "shape": (np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2)),
    "empty shape": (np.empty((0, 3)), np.empty((3, 0))),
    "length": (np.zeros(2), np.zeros(3)),
    "text": (np.array(["gNa"]), np.array(["gK"])),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_every_difference_of_an_array_is_told(tmp_path, pair):
    one, other = (Generation(0, {"scores": array, "same": np.zeros(2)}) for array in pair)
    assert two(tmp_path, one, other) == ["generation 0: scores"]


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_what_is_the_same_is_not_told(tmp_path, pair):
    arrays = dict(zip("ab", pair, strict=True)) | {"payload": PAYLOAD, "nan": np.array([np.nan, -np.nan])}
    one, other = (Generation(0, arrays, {"n": 1}, {"total": seconds}) for seconds in (1.0, 2.0))
    assert two(tmp_path, one, other) == []


def test_missing_arrays_generations_and_counts_are_told(tmp_path):
    array = np.zeros(1)
    one, other = Generation(0, {"a": array, "b": array}, {"n": 1}), Generation(0, {"a": array, "c": array}, {"n": 2})
    assert two(tmp_path, one, other) == ["generation 0: b", "generation 0: c", "generation 0: counts"]
    longer = kept(tmp_path / "longer", [one, Generation(1, {})])
    assert same_numbers(longer, kept(tmp_path / "again", [one])) == ["2 generations against 1"]


def test_tables_are_compared_and_settings_are_not(tmp_path):
    low = np.array([0.0, 1.0])
    wanted = Header({"workers": 1}, {}, {"parameters": {"low": low}, "terms": {}})
    other = Header({"workers": 2}, {}, {"parameters": {"low": low + 1e-16, "high": low}}, {"host": "b"})
    ledgers = [Ledger.create(tmp_path / f"{i}", header) for i, header in enumerate((wanted, wanted, other))]
    assert same_numbers(*ledgers[:2]) == []
    assert same_numbers(ledgers[0], ledgers[2]) == ["table parameters: high", "table parameters: low"]
