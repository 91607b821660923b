"""Does `hpcfit train` train, go on to the same numbers, and refuse what it cannot do?"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from hpcfit.errors import ConfigError, InputError, LedgerError
from hpcfit.jobs.training import train
from hpcfit.lfads.data.hdf5 import write_session
from hpcfit.lfads.optimiser import Adam, clipped

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
epochs = 4
batch = 3
kernels = "plain"
device = "cpu"
{more}
"""


@pytest.fixture
def file(tmp_path, session):
    def made(more="", name="train.toml"):
        if not (tmp_path / "counts.h5").exists():
            write_session(tmp_path / "counts.h5", session())
        (tmp_path / name).write_text(FILE.format(more=more))
        return tmp_path / name

    return made


def weights(folder):
    from safetensors.torch import load_file

    newest = max((folder / "checkpoints").glob("*.safetensors"))
    return load_file(newest)


def same(one, other):
    a, b = weights(one), weights(other)
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def losses(folder):
    rows = (folder / "epochs.csv").read_text().splitlines()
    return [row.rsplit(",", 2)[0] for row in rows]  # the last two columns are seconds


def test_it_learns_and_the_same_again(file, tmp_path):
    done = train(file("learning_rate_decay = 1.0"), tmp_path / "a", {"epochs": 30})
    again = train(file("learning_rate_decay = 1.0"), tmp_path / "b", {"epochs": 30})
    first, last = done.rows[0]["train_nll"], min(row["train_nll"] for row in done.rows)
    assert last < first
    assert losses(done.folder) == losses(again.folder) and same(done.folder, again.folder)


def test_going_on_equals_uninterrupted(file, tmp_path):
    train(file(), tmp_path / "whole", {"epochs": 5})
    for epochs in (1, 2, 5):
        train(file(), tmp_path / "parts", {"epochs": epochs})
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts") and same(tmp_path / "whole", tmp_path / "parts")


def test_a_damaged_checkpoint_and_a_torn_row_are_done_again(file, tmp_path):
    train(file(), tmp_path / "whole")
    train(file(), tmp_path / "torn", {"epochs": 3})
    newest = max((tmp_path / "torn/checkpoints").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:500])
    with open(tmp_path / "torn/epochs.csv", "a") as rows:
        rows.write("3,0.00")
    train(file(), tmp_path / "torn")
    assert losses(tmp_path / "whole") == losses(tmp_path / "torn") and same(tmp_path / "whole", tmp_path / "torn")


def test_killed_anywhere_it_goes_on_to_the_same_numbers(file, tmp_path):
    path = file("keep_checkpoints = 40")
    train(path, tmp_path / "whole", {"epochs": 12})
    command = [sys.executable, "-m", "hpcfit.cli", "train", str(path), "--run", str(tmp_path / "killed")]
    kills = 0
    for wait in (0.0, 0.05, 0.2):
        process = subprocess.Popen([*command, "--epochs", "12"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        ends = time.monotonic() + 60
        while not (tmp_path / "killed/checkpoints").exists() and process.poll() is None and time.monotonic() < ends:
            time.sleep(0.01)
        time.sleep(wait)
        kills += process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert kills
    train(path, tmp_path / "killed", {"epochs": 12})
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed") and same(tmp_path / "whole", tmp_path / "killed")


def test_a_signal_ends_it_with_75_and_it_goes_on(file, tmp_path):
    path = file()
    train(path, tmp_path / "whole", {"epochs": 9})
    command = [sys.executable, "-m", "hpcfit.cli", "train", str(path), "--run", str(tmp_path / "left")]
    process = subprocess.Popen([*command, "--epochs", "100000"], stderr=subprocess.PIPE, text=True)
    ends = time.monotonic() + 60
    while not (tmp_path / "left/checkpoints").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 75 and "told to leave by SIGUSR1" in said
    epochs = len(losses(tmp_path / "left")) - 1
    train(path, tmp_path / "left", {"epochs": max(9, epochs)})
    if epochs < 9:
        assert same(tmp_path / "whole", tmp_path / "left")
    assert losses(tmp_path / "left")[:10] == losses(tmp_path / "whole")


def test_adam_is_torchs():
    torch.manual_seed(0)
    start = torch.randn(50)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, reference = Adam.of(ours, (0.8, 0.95), 1e-6), torch.optim.Adam([theirs], 0.01, (0.8, 0.95), 1e-6)
    for step in range(20):
        gradient = torch.randn(50)
        adam.step(ours, gradient, 0.01 if step < 10 else 0.003)
        reference.param_groups[0]["lr"] = 0.01 if step < 10 else 0.003
        theirs.grad = gradient
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_clipping_shortens_and_never_lengthens():
    assert clipped(torch.tensor([3.0, 4.0]), 1.0)[0].tolist() == pytest.approx([0.6, 0.8])
    assert clipped(torch.tensor([3.0, 4.0]), 10.0)[0].tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("batches = 3", "training.batches"),
        ("learning_rate_decay = 1.5", "training.learning_rate_decay = 1.5"),
        ('device = "gpu17"', "device"),
    ],
)
def test_bad_settings(file, tmp_path, more, said):
    text = file(more.replace('device = "gpu17"', "")).read_text()
    if "gpu17" in more:
        text = text.replace('device = "cpu"', more)
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        train(tmp_path / "bad.toml", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _changed(session, part, **arrays):
    from dataclasses import replace

    return replace(session, **{part: replace(getattr(session, part), **arrays)})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: _changed(s, "train", recon=np.where(s.train.recon > 1, np.nan, s.train.recon)), "not finite"),
        (lambda s: _changed(s, "train", encod=s.train.encod - 1), "not negative"),
        (lambda s: _changed(s, "valid", encod=s.valid.encod[:0], recon=s.valid.recon[:0]), "no valid trials"),
        (lambda s: _changed(s, "train", recon=s.train.recon[:-1]), "must be the same trials"),
        (lambda s: _changed(s, "train", encod=s.train.encod[0]), r"must be \(trials, time, neurons\)"),
        (lambda s: _changed(s, "valid", encod=s.valid.encod[..., :4]), "must be alike"),
        (lambda s: _changed(s, "train", recon=s.train.recon[:, :-1]), "does not fit inside"),
    ],
)
def test_bad_data(file, tmp_path, session, damage, said):
    path = file()
    write_session(tmp_path / "counts.h5", damage(session()))
    with pytest.raises(InputError, match=said):
        train(path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_trial_shorter_than_the_window(file, tmp_path):
    path = file()
    path.write_text(path.read_text().replace("[model]", "[model]\nic_window = 8"))
    with pytest.raises(InputError, match=r"train trial 0 has 8 bins, model\.ic_window takes 8"):
        train(path, tmp_path / "run")


def test_a_file_without_its_arrays(file, tmp_path):
    import h5py

    path = file()
    with h5py.File(tmp_path / "counts.h5", "a") as counts:
        del counts["valid_recon_data"]
    with pytest.raises(InputError, match="has no valid_recon_data"):
        train(path, tmp_path / "run")


def test_a_folder_of_another_training_is_refused(file, tmp_path, session):
    path = file()
    train(path, tmp_path / "run", {"epochs": 1})
    path.write_text(path.read_text().replace("factors = 4", "factors = 3"))
    with pytest.raises(LedgerError, match=r"model\.factors = 4, the file has 3"):
        train(path, tmp_path / "run")
    path.write_text(path.read_text().replace("factors = 3", "factors = 4"))
    write_session(tmp_path / "counts.h5", session(trials=6))
    with pytest.raises(LedgerError, match="other data"):
        train(path, tmp_path / "run")


def test_the_learning_rate_falls_and_training_ends(file, tmp_path):
    path = file("decay_patience = 1\nlearning_rate_decay = 0.1\nlearning_rate_least = 1e-4")
    done = train(path, tmp_path / "run", {"epochs": 200})
    assert "learning rate has come down" in done.reason and len(done.rows) < 200
