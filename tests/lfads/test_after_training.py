"""From a trained folder: infer, evaluate, submission, plot and status, by the command line as a user calls them."""

import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from hpcfit.cli import app
from hpcfit.errors import ConfigError, InputError, LedgerError
from hpcfit.jobs.training import Asked, evaluate, infer, submission, train
from hpcfit.lfads import metrics
from hpcfit.lfads.data.hdf5 import write_session
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.report.write import write_report

FILE = """
name = "tiny"
[data]
path = "counts.h5"
[model]
generator = 8
initial_condition = 4
ic_encoder = 6
factors = 4
inferred_inputs = 2
controller = 6
controller_encoder = 6
[training]
epochs = 3
batch = 16
kernels = "plain"
device = "cpu"
[posterior]
samples = 3
{more}
"""
FIGURES = ["losses", "rasters", "conditions", "truth", "latents", "inputs", "behaviour"]
MEASURES = {"nll", "bits_per_spike", "co_bps", "fp_bps", "rate_r2", "psth_r2", "velocity_r2", "ole_r2"}
CHEAP = "mean,psth,smoothing"


def made(trials, seed, rich):
    """Rates that turn around with a phase for each of two conditions; a velocity that follows."""
    rng = np.random.default_rng(seed)
    steps, neurons = 24, 8
    weights = np.random.default_rng(9).standard_normal((2, neurons))
    conditions = np.arange(trials) % 2
    time = 2 * np.pi * np.arange(steps) / steps
    phase = np.pi * conditions + 0.3 * rng.standard_normal(trials)
    latents = np.stack([np.sin(time + phase[:, None]), np.cos(time + phase[:, None])], 2)
    truth = np.exp(0.6 * latents @ weights - 0.5).astype(np.float32)
    counts = rng.poisson(truth).astype(np.float32)
    if not rich:
        return Trials(counts, counts)
    velocity = latents[:, :20] + 0.1 * rng.standard_normal((trials, 20, 2))
    velocity[0, :3] = np.nan
    return Trials(counts[:, :20, :6], counts, truth, None, conditions, behaviour={"hand_vel": velocity})


def started(folder, rich=True, more=""):
    folder.mkdir(exist_ok=True)
    parts = [made(number, seed, rich) for number, seed in ((24, 1), (12, 2))]
    write_session(folder / "counts.h5", Session(*parts, bin_s=0.02 if rich else None))
    (folder / "train.toml").write_text(FILE.format(more=more))
    train(folder / "train.toml", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    return started(tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return started(tmp_path_factory.mktemp("bare"), rich=False, more="at_end = false")


def called(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def arrays(path):
    with h5py.File(path) as file:
        return {name: np.asarray(file[f"valid/{name}"]) for name in ("rates", "factors")}, dict(file.attrs)


def test_training_ends_with_a_posterior(rich):
    found, attributes = arrays(rich / "posterior.h5")
    assert found["rates"].shape == (12, 24, 8) and attributes["samples"] == 3
    assert attributes["checkpoint"] == "best.safetensors" and 1 <= attributes["epochs"] <= 3
    assert attributes["data"] == json.loads((rich / "training.json").read_text())["data"]


def test_infer_again_is_the_same_and_samples_count(rich, tmp_path):
    folder = started(tmp_path / "own")
    target = folder / "posterior.h5"
    before = target.stat().st_mtime_ns
    assert infer(folder) == target and target.stat().st_mtime_ns == before  # it is of this checkpoint already
    assert np.array_equal(arrays(target)[0]["rates"], arrays(rich / "posterior.h5")[0]["rates"])
    done = called("infer", folder, "--samples", 5, "--generator-states")
    assert done.exit_code == 0 and done.stdout.strip() == str(target)
    found, attributes = arrays(target)
    assert attributes["samples"] == 5
    assert not np.array_equal(found["rates"], arrays(rich / "posterior.h5")[0]["rates"])
    with h5py.File(target) as file:
        assert file["valid/generator_states"].shape == (12, 24, 8)
    evaluate(folder, Asked(()))
    assert arrays(target)[1]["samples"] == 5
    train(folder.parent / "train.toml", folder, {"epochs": 5})  # goes on: another best checkpoint, another posterior
    assert arrays(target)[1]["samples"] == 3


def test_without_a_posterior_at_the_end(bare):
    assert not (bare / "posterior.h5").exists()
    with pytest.raises(LedgerError, match="training writes it at its end, `hpcfit infer` now"):
        submission(bare, "mc_maze", bare / "x.h5")


def test_evaluate(rich):
    done = called("evaluate", rich, "--baselines", CHEAP)
    assert done.exit_code == 0, done.output
    found = json.loads((rich / "evaluation.json").read_text())
    assert [row["model"] for row in found["rows"]] == ["lfads", *CHEAP.split(",")]
    assert all(set(row) - {"model", "chosen"} == MEASURES for row in found["rows"])
    rows = {row["model"]: row for row in found["rows"]}
    with h5py.File(rich / "posterior.h5") as file:
        rates, spikes = (np.asarray(file[f"valid/{name}"], float) for name in ("rates", "spikes"))
        truth = np.asarray(file["valid/truth"])
    model = rows["lfads"]
    assert model["nll"] == pytest.approx(metrics.nll_per_bin(rates[:, :20, :6], spikes[:, :20, :6]))
    assert model["co_bps"] == pytest.approx(metrics.bits_per_spike(rates[:, :20, 6:], spikes[:, :20, 6:]))
    assert model["fp_bps"] == pytest.approx(metrics.bits_per_spike(rates[:, 20:], spikes[:, 20:]))
    assert model["rate_r2"] == pytest.approx(metrics.rate_r2(rates[:, :20], truth[:, :20]))
    assert rows["psth"]["rate_r2"] > 0.5 and rows["psth"]["velocity_r2"] > 0.5 > abs(rows["mean"]["velocity_r2"])
    assert rows["mean"]["co_bps"] <= 0.0 < rows["psth"]["co_bps"]
    first, *lines = done.stdout.splitlines()
    assert re.split(r"  +", first)[:4] == ["model", "NLL per bin", "bits per spike", "co-bps"]
    assert lines[0].split()[:2] == ["lfads", f"{model['nll']:.4f}"]


def test_every_option_changes_something(rich):
    plain = evaluate(rich, Asked(()))["rows"][0]
    later = evaluate(rich, Asked((), lag_s=0.04))["rows"][0]
    wide = evaluate(rich, Asked((), psth_sd_s=0.2))
    assert later["velocity_r2"] != plain["velocity_r2"] and later["nll"] == plain["nll"]
    assert wide["rows"][0]["psth_r2"] != plain["psth_r2"] and wide["measured"]["psth_sd_bins"] == 10.0
    with pytest.raises(ConfigError, match="no such signal; they have hand_vel"):
        evaluate(rich, Asked((), behaviour="hand_pos"))
    with pytest.raises(ConfigError, match="'pac' is none; there are all, none, mean"):
        raise called("evaluate", rich, "--baselines", "pac").exception


def test_glm_of_held_out_neurons(rich, bare):
    done = called("evaluate", rich, "--baselines", "none", "--glm")
    assert done.exit_code == 0 and "GLM of 2 held-out neurons" in done.stdout
    glm = json.loads((rich / "evaluation.json").read_text())["glm"]
    assert glm["neurons"] == [6, 7]
    for name in ("pseudo_r2", "relative_pseudo_r2"):
        assert all(low <= value <= high < 1.0 for value, low, high in glm[name])
    assert "GLM of 2 held-out neurons" in write_report(rich)[-1].read_text()
    with pytest.raises(ConfigError, match="--glm: no neuron is held out"):
        evaluate(bare, Asked((), glm=True))


def test_without_conditions_truth_and_behaviour(bare):
    found = evaluate(bare)
    assert set(found["rows"][0]) == {"model", "nll", "bits_per_spike"}
    assert "psth" in found["skipped"] and "the trials have no conditions" in found["skipped"]["psth"]
    assert (bare / "posterior.h5").exists() and not (bare / "evaluation.h5").exists()
    with pytest.raises(ConfigError, match="psth: the trials have no conditions"):
        evaluate(bare, Asked(("psth",)))
    with pytest.raises(ConfigError, match="do not say how wide their bins are"):
        evaluate(bare, Asked((), lag_s=0.1))
    with pytest.raises(InputError, match="heldout has shape"):
        submission(bare, "mc_maze", bare / "x.h5")


def test_report(rich, bare):
    import matplotlib.image

    evaluate(rich, Asked(("mean",)))
    paths = write_report(rich)
    assert [path.stem for path in paths] == [*FIGURES, "report"]
    for path in paths[:-1]:
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 200 and image[..., :3].std() > 0.01
    page = paths[-1].read_text()
    assert len(re.findall('src="data:image/png;base64,', page)) == len(FIGURES) and "http" not in page
    assert "co-bps" in page and "best.safetensors" in page
    (bare / "posterior.h5").unlink(missing_ok=True)
    (bare / "evaluation.json").unlink(missing_ok=True)
    done = called("plot", bare)
    assert [line.rsplit("/", 1)[1] for line in done.stdout.split()] == ["losses.png", "report.html"]
    page = (bare / "report/report.html").read_text()
    assert "No posterior yet" in page and "Not evaluated yet" in page
    infer(bare)
    assert [path.stem for path in write_report(bare)] == ["losses", "rasters", "latents", "inputs", "report"]


def test_a_name_cannot_break_the_page(rich, tmp_path):
    import shutil

    folder = tmp_path / "<script>alert(1)</script>"
    shutil.copytree(rich, folder)
    page = write_report(folder)[-1].read_text()
    assert "<script" not in page and "&lt;script&gt;" in page


def test_status(rich, tmp_path):
    text = called("status", rich).stdout
    assert re.search(r"state: +finished \(all 3 epochs done\)", text) and re.search(r"epochs: +3 of 3", text)
    assert re.search(r"best: +smoothed validation NLL \d\.\d+ at epoch \d, R2 against true rates", text)
    assert "posterior:    there" in text and text.count("epoch=") == 3
    (tmp_path / "training.json").write_text('{"schema": 1, "settings": {"name": "new"}, "data": ""}')
    said = {"state": "running", "host": "elsewhere", "pid": 1, "of": 9}
    (tmp_path / "status.json").write_text(json.dumps(said))
    text = called("status", tmp_path).stdout
    assert "cannot be asked from here" in text and "0 of 9" in text and "no epoch has been finished yet" in text
    with pytest.raises(LedgerError, match="no epoch has been finished yet"):
        write_report(tmp_path)


def test_submission(rich, tmp_path):
    done = called("submission", rich, "mc_maze_20", "-o", tmp_path / "out.h5")
    assert done.exit_code == 0 and "mc_maze_20/eval_rates_heldout_forward: 12 x 4 x 2" in done.stdout
    found = metrics.read_submission(tmp_path / "out.h5")["mc_maze_20"]
    rates = arrays(rich / "posterior.h5")[0]["rates"]
    assert np.array_equal(found["eval_rates_heldin"], rates[:, :20, :6])
    with pytest.raises(InputError, match="is no set of the benchmark"):
        submission(rich, "maze", tmp_path / "out.h5")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "training.json").unlink(), "no training is in it"),
        (lambda run: (run / "training.json").write_text("{"), "training.json: cannot be read"),
        (lambda run: (run / "best.safetensors").unlink(), "no epoch has been finished yet"),
        (lambda run: (run / "best.safetensors").write_bytes(b"x" * 99), "no checkpoint that can be read"),
        (lambda run: other_data(run), "its data have changed since it was trained"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path, damage, said):
    run = started(tmp_path / "own")
    damage(run)
    with pytest.raises(LedgerError, match=said):
        infer(run)


def other_data(run):
    parts = [made(number, seed, True) for number, seed in ((24, 1), (12, 5))]
    write_session(run.parent / "counts.h5", replace(Session(*parts), bin_s=0.02))


def test_a_damaged_posterior_is_refused_and_written_again(tmp_path):
    run = started(tmp_path / "own")
    (run / "posterior.h5").write_bytes(b"no HDF5")
    with pytest.raises(LedgerError, match="cannot be read as HDF5"):
        write_report(run)
    infer(run)
    assert write_report(run)
    with h5py.File(run / "posterior.h5", "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(LedgerError, match="written by a newer hpcfit"):
        write_report(run)


def test_measures_are_of_spikes(tmp_path):
    run = started(tmp_path / "own")
    text = (tmp_path / "own/train.toml").read_text().replace("[model]", '[model]\nreconstruction = "gaussian"')
    (tmp_path / "own/gaussian.toml").write_text(text)
    other = train(tmp_path / "own/gaussian.toml", run.parent / "gaussian").folder
    assert write_report(other)
    with pytest.raises(ConfigError, match="these measures are of spike counts"):
        evaluate(other)
