"""HDF5 files of arrays, as users of LFADS software have them; what is wrong with them is one error."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from hpcfit.errors import ConfigError, InputError
from hpcfit.lfads.data.checks import checked
from hpcfit.lfads.data.hdf5 import read_session, write_session
from hpcfit.lfads.data.settings import DataSettings
from hpcfit.lfads.data.sources import session_of
from hpcfit.lfads.data.trials import compact, one_array


@pytest.fixture
def arrays():
    """The arrays of a file with held-out neurons, steps to predict, and true rates in Hz."""
    rng = np.random.default_rng(0)
    found = {}
    for part, trials in (("train", 6), ("valid", 3)):
        rates = 20.0 * rng.random((trials, 8, 5))
        counts = rng.poisson(0.1 * rates).astype(np.uint8)
        counts[0, 0] += 1
        found |= {
            f"{part}_encod_data": counts[:, :6, :3],
            f"{part}_recon_data": counts,
            f"{part}_truth": rates,
            f"{part}_inds": np.arange(trials) * 3 + (part == "valid"),
            f"{part}_behavior": rng.standard_normal((trials, 6, 2)),
        }
    return {**found, "conversion_factor": np.asarray(10.0)}


@pytest.fixture
def file(tmp_path, arrays):
    """file(name=array or None, ...): writes the arrays, some replaced or left out, and gives the path."""

    def write(**changes):
        path = tmp_path / "data.h5"
        with h5py.File(path, "w") as out:
            for name, array in (arrays | changes).items():
                if array is not None:
                    out[name] = array
        return path

    return write


def read(path, **data):
    return session_of(DataSettings.model_validate({"path": path, **data}))


def test_a_users_file_is_read(file, arrays):
    session = read(file(), bin_s=0.1)
    assert (session.neurons, session.steps, session.bin_s) == ((3, 5), (6, 8), 0.1)
    np.testing.assert_array_equal(session.train.encod, arrays["train_encod_data"])
    np.testing.assert_array_equal(session.valid.recon, arrays["valid_recon_data"])
    np.testing.assert_allclose(session.train.truth, arrays["train_truth"] / 10.0, rtol=1e-6)
    np.testing.assert_array_equal(session.train.inds, arrays["train_inds"])
    np.testing.assert_array_equal(session.more["train_behavior"], arrays["train_behavior"])
    assert session.train.encod.dtype == session.train.recon.dtype == np.float32


def test_a_conversion_factor_for_each_neuron(file, arrays):
    factors = np.arange(1.0, 6.0)
    session = read(file(conversion_factor=factors))
    np.testing.assert_allclose(session.train.truth, arrays["train_truth"] / factors, rtol=1e-6)
    with pytest.raises(InputError, match=r"conversion_factor has shape \(3,\); give a number, or one for each of 5"):
        read(file(conversion_factor=np.ones(3)))


def test_one_array_for_both_roles(file, arrays):
    session = read(
        file(
            train_data=arrays["train_recon_data"],
            valid_data=arrays["valid_recon_data"],
            **{f"{part}_{role}_data": None for part in ("train", "valid") for role in ("encod", "recon")},
        )
    )
    assert session.neurons == (5, 5)
    assert one_array(session.train)


def test_what_is_written_is_read_again(file, tmp_path):
    session = read(file(), bin_s=0.1)
    trials = replace(
        session.train,
        lengths=np.asarray([8, 7, 8, 8, 8, 6]),
        behaviour={"pos": np.ones((6, 6, 2))},
        starts=np.arange(6),
    )
    session = replace(session, train=trials, units=("a", "b", "c", "d", "e"))
    trials.recon[1, 7:] = trials.recon[5, 6:] = 0.0
    trials.truth[1, 7:] = trials.truth[5, 6:] = 0.0
    write_session(tmp_path / "again.h5", session)
    with h5py.File(tmp_path / "again.h5") as out:
        assert out["train_recon_data"].dtype == np.uint8
    again = read_session(tmp_path / "again.h5")
    for name in ("encod", "recon", "truth", "lengths", "inds", "starts"):
        np.testing.assert_array_equal(getattr(again.train, name), getattr(session.train, name))
    np.testing.assert_array_equal(again.train.behaviour["pos"], 1.0)
    assert again.units == session.units and again.bin_s == 0.1


def test_trials_that_end_in_nan_are_shorter(file, arrays):
    encod, recon = (arrays[f"train_{role}_data"].astype(float) for role in ("encod", "recon"))
    recon[2, 5:] = encod[2, 5:] = np.nan
    session = read(file(train_encod_data=encod, train_recon_data=recon))
    assert session.train.lengths.tolist() == [8, 8, 5, 8, 8, 8]
    assert not session.train.recon[2, 5:].any() and np.isfinite(session.train.encod).all()
    assert "1 trials end in NaN" in session.notes[0]
    recon[2, 3, 1] = np.nan
    with pytest.raises(InputError, match=r"train_recon_data: 1 values are not finite, the first at .* \(2, 3, 1\)"):
        read(file(train_encod_data=encod, train_recon_data=recon))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_encod_data": None}, r"has no train_encod_data; it needs .*; it has .*valid_encod_data"),
        ({"valid_recon_data": None}, r"has no valid_recon_data"),
        ({"valid_recon_data": np.zeros((2, 8, 5))}, r"valid_encod_data has 3 trials, valid_recon_data 2; they must be"),
        ({"valid_encod_data": np.zeros((0, 6, 3)), "valid_recon_data": np.zeros((0, 8, 5))}, r"no valid trials; give"),
        ({"train_encod_data": np.zeros((0, 6, 3)), "train_recon_data": np.zeros((0, 8, 5))}, r"no train trials; give"),
        ({"train_recon_data": -np.ones((6, 8, 5))}, r"train_recon_data: -1 at trial, bin, neuron \(0, 0, 0\); spike c"),
        ({"train_recon_data": np.full((6, 8, 5), np.nan)}, r"train_recon_data: 240 values are not finite"),
        ({"train_recon_data": np.zeros((6, 8))}, r"train_recon_data has shape \(6, 8\); it must be \(trials, time"),
        ({"train_recon_data": np.zeros((6, 8, 2))}, r"does not fit inside train_recon_data \(8, 2\)"),
        ({"valid_encod_data": np.zeros((3, 5, 3))}, r"train_encod_data is \(6, 3\).* valid_encod_data \(5, 3\)"),
        ({"train_truth": np.zeros((6, 8, 4))}, r"train_truth has shape \(6, 8, 4\), train_recon_data \(6, 8, 5\)"),
        ({"train_lengths": np.full(6, 9)}, r"train_lengths: trial 0 has 9 bins; it must be 1 to 8"),
        ({"train_lengths": np.full(6, 0)}, r"train_lengths: trial 0 has 0 bins"),
        ({"train_lengths": np.full(4, 8)}, r"train_lengths has 4 entries for 6 trials"),
        ({"train_conditions": np.zeros(5)}, r"train_conditions has 5 entries for 6 trials; give one for each"),
        ({"train_recon_data": np.full((6, 8, 5), b"x")}, r"train_recon_data holds \|S1; it must hold numbers"),
    ],
)
def test_what_is_wrong_is_one_error(file, changes, said):
    with pytest.raises(InputError, match=said):
        read(file(**changes))


def test_not_hdf5_or_not_there(tmp_path):
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read(tmp_path / "text.h5")
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.h5")


def test_trials_in_both_splits_are_noted(file):
    session = read(file(valid_inds=np.asarray([3, 1, 4])))
    assert "1 trials are in train_inds and in valid_inds, the first 3" in session.notes[0]


def test_a_new_split_puts_every_trial_into_one_part(file, arrays):
    everything = np.concatenate([arrays["train_recon_data"], arrays["valid_recon_data"]])
    everything = everything[np.argsort(np.concatenate([arrays["train_inds"], arrays["valid_inds"]]), kind="stable")]
    session = read(file(), validation={"part": 0.34, "block": 1})
    np.testing.assert_array_equal(session.valid.recon, everything[::3])
    np.testing.assert_array_equal(session.train.recon, np.delete(everything, np.arange(0, 9, 3), 0))
    blocks = read(file(), validation={"part": 0.34, "block": 3})
    np.testing.assert_array_equal(blocks.valid.recon, everything[:3])
    one, same, other = (
        read(file(), validation={"part": 0.34, "choose": "random", "seed": seed}).valid.inds for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and len(one) == len(other) == 3 and not np.array_equal(one, other)
    with pytest.raises(InputError, match="none is left to train on"):
        read(file(), validation={"block": 20})


def test_a_file_without_validation_trials_can_be_split(file):
    only = dict.fromkeys(("valid_encod_data", "valid_recon_data", "valid_truth", "valid_behavior"))
    path = file(**only)
    with pytest.raises(InputError, match="has no valid_encod_data"):
        read(path)
    session = read(path, validation={})
    assert (len(session.train), len(session.valid)) == (4, 2)


def test_silent_units(file, arrays):
    encod, recon = arrays["train_encod_data"].copy(), arrays["train_recon_data"].copy()
    encod[..., 1] = recon[..., 1] = recon[..., 4] = 0
    path = file(train_encod_data=encod, train_recon_data=recon)
    kept = read(path)
    assert kept.neurons == (3, 5) and "2 of 5 units are silent in training: 1, 4; they are kept" in kept.notes[0]
    dropped = read(path, units={"silent": "drop"})
    assert dropped.neurons == (2, 3) and dropped.more["units_kept"].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(dropped.valid.recon, arrays["valid_recon_data"][..., [0, 2, 3]])
    np.testing.assert_array_equal(dropped.valid.encod, arrays["valid_encod_data"][..., [0, 2]])
    with pytest.raises(InputError, match="2 of 5 units are silent in training: 1, 4; leave them out"):
        read(path, units={"silent": "refuse"})
    encod[:] = recon[:] = 0
    with pytest.raises(InputError, match="no unit that is seen has a spike"):
        read(file(train_encod_data=encod, train_recon_data=recon), units={"silent": "drop"})


def test_neurons_can_be_held_out(file, arrays):
    path = file(**{f"{part}_encod_data": arrays[f"{part}_recon_data"] for part in ("train", "valid")})
    session = read(path, units={"held_out": ["0", "3"]})
    assert session.neurons == (3, 5) and session.more["units_kept"].tolist() == [1, 2, 4, 0, 3]
    np.testing.assert_array_equal(session.train.encod, arrays["train_recon_data"][..., [1, 2, 4]])
    np.testing.assert_array_equal(session.train.recon[..., 3:], arrays["train_recon_data"][..., [0, 3]])
    one, other = (read(path, units={"held_out": 0.4, "held_out_seed": seed}).more["units_kept"] for seed in (0, 1))
    assert not np.array_equal(one, other)
    for wanted, said in ((["x"], "no unit is called 'x'"), (0.01, "leaves 5 of 5 units to see and 0 to hold out")):
        with pytest.raises(ConfigError, match=said):
            read(path, units={"held_out": wanted})
    with pytest.raises(ConfigError, match="held out already"):
        read(file(), units={"held_out": 0.4})


def test_copies_of_a_unit_are_left_out(file, arrays):
    rng = np.random.default_rng(1)
    train, valid = (rng.poisson(0.3, (trials, 50, 5)) for trials in (6, 3))
    for counts in (train, valid):
        counts[..., 1] = counts[..., 3] = counts[..., 0]  # three alike
        counts[..., 3] += rng.random(counts.shape[:2]) < 0.02  # of them this one fires most
    only = {name: None for name in arrays if "data" not in name and name != "conversion_factor"}
    names = {f"{part}_{role}_data": counts for part, counts in (("train", train), ("valid", valid))
             for role in ("encod", "recon")}  # fmt: skip
    session = read(file(**only, **names), units={"correlation_most": 0.6})
    # Each has two conflicts: unit 3 goes first, for its spikes; then one of two equal ones, the first.
    assert session.more["units_kept"].tolist() == [1, 2, 4]
    assert "2 of 5 units correlate more than 0.6 with others: 3, 0; left out" in session.notes
    with pytest.raises(ConfigError, match="correlation_bin_s is for recordings"):
        read(file(), units={"correlation_most": 0.6, "correlation_bin_s": 0.001})


def test_signals_that_are_no_counts(file, arrays):
    rng = np.random.default_rng(2)
    train, valid = rng.gamma(2.0, 3.0, (6, 8, 5)), rng.gamma(2.0, 3.0, (3, 8, 5))
    names = {f"{part}_{role}_data": values for part, values in (("train", train), ("valid", valid))
             for role in ("encod", "recon")}  # fmt: skip
    data = DataSettings.model_validate({"path": file(**names), "normalise": "soft"})
    session = session_of(data, "gaussian")
    flat = train.reshape(-1, 5)
    mean, scale = flat.mean(0), np.percentile(flat, 90, axis=0) + 0.01
    np.testing.assert_allclose(session.valid.recon, (valid - mean) / scale, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(session.more["normalise_scale"], scale, rtol=1e-5)
    with pytest.raises(ConfigError, match=r'needs model.reconstruction = "gaussian", which is "poisson"'):
        session_of(data)
    plain = DataSettings(path=data.path)
    np.testing.assert_allclose(session_of(plain, "gamma").train.recon, train, rtol=1e-6)
    names["train_recon_data"] = train - 100.0
    file(**names)
    with pytest.raises(InputError, match="gamma is for values from 0"):
        session_of(plain, "gamma")
    with pytest.raises(InputError, match="90th percentile of signal 0 is -"):
        session_of(data, "gaussian")
    names["train_recon_data"] = np.ones((6, 8, 5))
    file(**names)
    with pytest.raises(InputError, match=r"neuron 0 .* has the value 1 everywhere \(and 4 more\)"):
        session_of(plain, "gaussian")


def test_counts_as_bytes(arrays):
    counts = arrays["train_recon_data"].astype(np.float32)
    small = compact(counts)
    assert small.dtype == np.uint8 and np.array_equal(small, counts)
    for odd in (counts + 0.5, counts - 1.0, counts + 300.0):
        assert compact(odd) is odd


def test_a_trial_shorter_than_the_encoders_window(file):
    data = DataSettings(path=file(train_lengths=np.asarray([8, 8, 4, 8, 3, 8])))
    assert len(session_of(data, ic_window=2).train) == 6
    with pytest.raises(InputError, match=r"train trial 4 has 3 bins, model.ic_window takes 3 \(1 such trials\)"):
        session_of(data, ic_window=3)
    with pytest.raises(InputError, match=r"train trial 0 has 6 bins, model.ic_window takes 6"):
        session_of(DataSettings(path=file()), ic_window=6)


def test_checked_gives_the_session(file):
    session = read_session(file())
    assert checked(session, "here") is session
