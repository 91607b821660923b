"""The verbs hpcfit data make and hpcfit data show, as they are typed."""

import h5py
import numpy as np
import pytest

SMALL = ("--set", "conditions=4", "--set", "trials_per_condition=3", "--set", "validation_trials_per_condition=1")


@pytest.mark.parametrize("kind", ["chaotic", "lorenz"])
def test_arrays_are_made_and_shown(hpcfit, tmp_path, kind):
    out = tmp_path / "new" / f"{kind}.h5"
    made = hpcfit("data", "make", kind, "-o", out, "--set", "neurons=6", *SMALL)
    assert made.code == 0, made.err
    assert made.out.splitlines()[-1] == str(out)
    with h5py.File(out) as file:
        assert file["train_recon_data"].shape == (8, 100, 6) and file["train_recon_data"].dtype == np.uint8
        assert file["valid_truth"].shape == (4, 100, 6) and file.attrs["bin_s"] == 0.01
    shown = hpcfit("data", "show", out)
    assert shown.code == 0, shown.err
    lines = shown.out.splitlines()
    assert lines[:3] == [f"{kind}: 8 training trials, 4 validation trials", "bins: 100 of 0.01 s, 1 s", "units: 6"]
    assert "conditions: 4, with 2 to 2 training trials" in lines and "true rates: known" in lines
    assert "memory: 28.8 KB as float32, 7.2 KB as bytes" in lines


def test_a_setting_changes_the_data(hpcfit, tmp_path):
    rates = []
    for name, more in (("a", ()), ("b", ("--set", "gamma=2.5")), ("c", ("--set", 'inputs_per="trial"'))):
        assert hpcfit("data", "make", "chaotic", "-o", tmp_path / name, *SMALL, *more).code == 0
        with h5py.File(tmp_path / name) as file:
            rates.append(file["train_truth"][()])
    assert not np.array_equal(rates[0], rates[1])
    assert np.array_equal(rates[0][0], rates[0][1]) and not np.array_equal(rates[2][0], rates[2][1])


def test_the_reaching_set_as_nwb_and_as_arrays(hpcfit, tmp_path):
    small = ("--set", "units=8", "--set", "targets=2", "--set", "trials_per_condition=4")
    made = hpcfit("data", "make", "reaching", "-o", tmp_path / "r.nwb", *small)
    assert made.code == 0, made.err
    lines = hpcfit("data", "show", tmp_path / "r.nwb").out.splitlines()
    assert lines == made.out.splitlines()[:-1]
    assert "units: 8: 6 seen, 2 held out" in lines and "signals: hand_pos, hand_vel" in lines
    assert "split: train 13, val 3" in lines
    (tmp_path / "train.toml").write_text(
        'name = "r"\n[data]\nbin_s = 0.02\nnwb = { path = "r.nwb", layout = "mc_maze" }\n[data.trials]\nforward_s = 0\n'
    )
    shown = hpcfit("data", "show", tmp_path / "train.toml")
    assert shown.code == 0, shown.err
    assert "bins: 35 of 0.02 s, 0.7 s" in shown.out and "behaviour: hand_vel (35 x 2)" in shown.out
    arrays = hpcfit("data", "make", "reaching", "-o", tmp_path / "r.h5", "--bin-s", 0.02, *small)
    assert arrays.code == 0, arrays.err
    assert "bins: 35 of 0.02 s, 0.7 s, and 10 to be predicted" in arrays.out and "true rates: known" in arrays.out
    assert hpcfit("data", "show", tmp_path / "r.h5").out.splitlines()[1:-1] == arrays.out.splitlines()[1:-2]


def test_what_is_silent_or_copied_is_named(hpcfit, tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.1, (6, 50, 12))
    counts[..., 3] = 0
    counts[..., 7] = counts[..., 5]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for part in ("train", "valid"):
            file[f"{part}_data"] = counts
    shown = hpcfit("data", "show", tmp_path / "a.h5").out
    assert "units that are silent in training: 1 of 12: 3\n" in shown
    assert " of 66: 5-7 1.00" in shown and "width is not known: set data.bin_s" in shown
    assert "rates: 0 to" in hpcfit("data", "show", tmp_path / "a.h5", "--bin-s", 0.005).out


def test_a_file_of_something_else_is_listed(hpcfit, tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["units/1"] = np.arange(4.0)
    shown = hpcfit("data", "show", tmp_path / "s.h5").out
    assert "no arrays of trials; say with [data.spike_times]" in shown and "units/1  (4,) float64" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("make", "lorenz", "-o", "x.h5", "--set", "neuron=3"), "unknown key lorenz.neuron; did you mean neurons?"),
        (("make", "lorenz", "-o", "x.h5", "--set", "neurons=many"), "neurons = 'many': must be a whole number"),
        (("make", "lorenz", "-o", "x.h5", "--set", "neurons"), "--set 'neurons'; write key=value"),
        (
            ("make", "lorenz", "-o", "x.nwb"),
            "lorenz makes arrays of trials, no recording; give a name that ends in",
        ),
        (
            ("make", "lorenz", "-o", "x.h5", "--bin-s", "0.1"),
            "--bin-s is for reaching; for lorenz give --set bin_s",
        ),
        (("make", "reaching", "-o", "x.h5", "--bin-s", "0.3"), "not a whole number of bins of 0.3 s"),
        (("show", "none.h5"), "none.h5: no such file"),
        (("show", "none.nwb"), "none.nwb: no such file"),
        (("show", "none.toml"), "none.toml: no such file"),
        (("show", "text.h5"), "text.h5: cannot be read as HDF5"),
        (("show", "text.nwb"), "text.nwb: cannot be read as NWB"),
        (("show", "fit.toml"), "fit.toml: has no table [data]"),
        (("show", "two.toml"), "two.toml: data: give one of path,"),
        (("show", "misspelt.toml"), "misspelt.toml: data: unknown key lorenz.nurons; did you mean neurons?"),
    ],
)
def test_bad_input_is_one_line(hpcfit, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    for name in ("text.h5", "text.nwb"):
        (tmp_path / name).write_text("no data")
    (tmp_path / "fit.toml").write_text('name = "f"\n')
    (tmp_path / "two.toml").write_text("[data]\nlorenz = {}\nchaotic_rnn = {}\n")
    (tmp_path / "misspelt.toml").write_text("[data.lorenz]\nnurons = 3\n")
    ended = hpcfit("data", *arguments)
    assert ended.code == 2 and ended.err.startswith("hpcfit: ") and ended.err.count("\n") == 1
    assert said in ended.err
    assert not list(tmp_path.glob("x.*"))
