"""Is the posterior's mean what its definition says, whatever the batches, and does the file hold it all?"""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from hpcfit.lfads.model import Noise, passed
from hpcfit.lfads.noise import generator_of
from hpcfit.lfads.posterior import TEST, Request, posterior, write_posterior
from hpcfit.lfads.training import Member

NAMES = {"rates", "factors", "inferred_inputs", "initial_conditions", "initial_variances"}


def whole(member, trials, part="valid", **asked):
    found = {}
    for _, arrays in posterior(member, trials, part, Request(**asked)):
        for name, array in arrays.items():
            found.setdefault(name, []).append(array)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def naive(member, trials, samples, part="valid"):
    """Trial by trial and sample by sample, with the model as it is."""
    model, sizes = member.sizes.model, member.sizes
    steps = sizes.steps - model.ic_window
    rates, factors = [], []
    for trial in range(len(trials)):
        number = model.initial_condition + steps * model.inferred_inputs
        drawn = torch.randn(
            (samples, number), generator=generator_of(member.settings.training.seed, "posterior", part, trial)
        )
        x = torch.as_tensor(trials.encod[trial : trial + 1])
        if trials.lengths is not None:
            x = x * (torch.arange(x.shape[1]) < int(trials.lengths[trial]))[None, :, None]
        one = []
        for row in drawn:
            inputs = row[model.initial_condition :].reshape(steps, 1, -1) if model.inferred_inputs else None
            noise = Noise(row[None, : model.initial_condition], inputs)
            with torch.no_grad():
                found = passed(member.places.views(member.flat), x, noise, sizes, member.recurrence)
            one.append((torch.exp(found.raw[0]).numpy(), found.factors[:, 0].numpy()))
        rates.append(np.mean([rate for rate, _ in one], 0))
        factors.append(np.mean([factor for _, factor in one], 0))
    return np.stack(rates), np.stack(factors)


@pytest.mark.parametrize(
    ("model", "seen"),
    [({}, None), ({"inferred_inputs": 0}, None), ({"ic_window": 3}, (6, 4)), ({"input_prior": "normal"}, (8, 3))],
)
def test_means_over_samples(settings, session, model, seen):
    data = session(seen=seen)
    member = Member.fresh(settings(model=model), data)
    found = whole(member, data.valid, samples=5)
    rates, factors = naive(member, data.valid, 5)
    assert np.allclose(found["rates"], rates, rtol=1e-5, atol=1e-6)
    assert np.allclose(found["factors"], factors, rtol=1e-5, atol=1e-6)
    assert set(found) == (NAMES if member.sizes.controlled else NAMES - {"inferred_inputs"})
    assert found["rates"].shape == (3, data.steps[1] - member.sizes.model.ic_window, data.neurons[1])


def test_memory_bound_changes_nothing(settings, session):
    data = session()
    member = Member.fresh(settings(), data)
    wanted = whole(member, data.valid, samples=7, generator_states=True)
    assert set(wanted) == NAMES | {"generator_states"}
    for rows in (1, 3, 7, 14, 20):
        found = whole(member, data.valid, samples=7, generator_states=True, rows=rows)
        for name, array in wanted.items():
            assert np.allclose(found[name], array, rtol=1e-5, atol=1e-6), (rows, name)


def test_samples_and_splits_count(settings, session):
    data = session()
    member = Member.fresh(settings(), data)
    one, again = (whole(member, data.valid, samples=2)["rates"] for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.allclose(one, whole(member, data.valid, samples=3)["rates"], rtol=1e-4)
    assert not np.allclose(one, whole(member, data.valid, part="train", samples=2)["rates"], rtol=1e-4)


def test_bins_that_a_trial_lacks_are_not_seen(settings, session):
    data = session()
    trials = replace(data.valid, lengths=np.array([8, 5, 3]))
    member = Member.fresh(settings(), data)
    found = whole(member, trials, samples=2)
    encod = trials.encod.copy()
    encod[1, 5:] = 9.0
    assert np.array_equal(found["rates"], whole(member, replace(trials, encod=encod), samples=2)["rates"])
    assert np.allclose(found["rates"], naive(member, trials, 2)[0], rtol=1e-5, atol=1e-6)


def test_held_out_elements_are_shown(settings, session):
    data = session()
    member = Member.fresh(settings(augmentations={"sample_validation": 0.3}), data)
    assert np.allclose(whole(member, data.valid, samples=2)["rates"], naive(member, data.valid, 2)[0], rtol=1e-5)


def test_other_distributions_give_their_means(settings, session):
    data = session()
    member = Member.fresh(settings(model={"reconstruction": "gaussian"}), data)
    assert whole(member, data.valid, samples=2)["rates"].shape == data.valid.recon.shape


def test_the_file(settings, session, tmp_path):
    data = session(seen=(6, 4))
    rng = np.random.default_rng(0)
    valid = replace(
        data.valid,
        truth=rng.random(data.valid.recon.shape).astype(np.float32),
        conditions=np.array([0, 1, 1]),
        behaviour={"hand_vel": rng.random((3, 6, 2)), "tp": rng.random(3)},
    )
    data = replace(data, valid=valid, bin_s=0.02, more={TEST: data.valid.encod[:2]})
    member = Member.fresh(settings(model={"ic_window": 2}), data)
    path = tmp_path / "posterior.h5"
    write_posterior(path, member, data, Request(3), {"data": "abc"})
    with h5py.File(path) as file:
        attributes = dict(file.attrs)
        assert (attributes["schema"], attributes["samples"], attributes["data"]) == (1, 3, "abc")
        assert (attributes["first_bin"], attributes["seen_bins"], attributes["seen_neurons"]) == (2, 6, 4)
        assert attributes["bin_s"] == 0.02
        assert set(file) == {"train", "valid", "test"}
        assert set(file["valid"]) == NAMES | {"spikes", "truth", "conditions", "behaviour"}
        assert set(file["test"]) == NAMES and file["test/rates"].shape == (2, 6, 5)
        for name, array in whole(member, data.valid, samples=3).items():
            assert np.array_equal(file[f"valid/{name}"], array), name
        assert file["valid/spikes"].dtype == np.uint8 and np.array_equal(file["valid/spikes"], valid.recon[:, 2:])
        assert np.array_equal(file["valid/truth"], valid.truth[:, 2:])
        assert np.array_equal(file["valid/behaviour/hand_vel"], valid.behaviour["hand_vel"][:, 2:])
        assert np.array_equal(file["valid/behaviour/tp"], valid.behaviour["tp"])


def test_a_failure_leaves_the_old_file(settings, session, tmp_path, monkeypatch):
    data = session()
    member = Member.fresh(settings(), data)
    path = tmp_path / "posterior.h5"
    write_posterior(path, member, data, Request(1), {})
    before = path.read_bytes()
    monkeypatch.setattr("hpcfit.lfads.posterior._keep", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_posterior(path, member, data, Request(2), {})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
