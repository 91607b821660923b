"""Is the model what its equations say?  Gradients, stacking of members, who may see what, against independent forms."""

import numpy as np
import pytest
import torch

from hpcfit.lfads.augmentation import Batch, augmented, plainly
from hpcfit.lfads.loss import Scales, terms
from hpcfit.lfads.model import Noise, passed
from hpcfit.lfads.noise import draw_noise, generator_of
from hpcfit.lfads.numbers import stream_of
from hpcfit.lfads.priors import kl_ar1, kl_normal
from hpcfit.lfads.reconstruction import RECONSTRUCTIONS
from hpcfit.lfads.recurrence import GruWeights, PlainRecurrence, gru_step
from hpcfit.lfads.settings import AugmentationSettings
from hpcfit.lfads.training import Data, Member, changed, train_epoch

ALL = Scales(0.3, 0.2, 0.5, 0.7)


def member_of(settings, session, **tables):
    member = Member.fresh(settings(**tables), session, PlainRecurrence())
    member.flat = member.flat.double()
    return member


def batch_of(session) -> Batch:
    return Batch(torch.tensor(session.train.encod).double(), torch.tensor(session.train.recon).double())


def loss_of(member, shown, noise):
    def loss(flat):
        weights = member.places.views(flat)
        made = passed(weights, shown.x, noise, member.sizes, member.recurrence)
        return terms(weights, shown, made, member.sizes).total(ALL)

    return loss


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"inferred_inputs": 0},
        {"input_prior": "normal", "controller_lag": 0},
        {"reconstruction": "gaussian"},
        {"reconstruction": "zero_inflated_gamma"},
        {"ic_window": 3},
    ],
    ids=lambda model: ",".join(model) or "default",
)
def test_gradient_is_that_of_finite_differences(settings, session, model):
    data = session(trials=3, steps=5, seen=(4, 3))
    member = member_of(settings, data, model=model)
    batch = batch_of(data)
    noise = draw_noise(range(3), 0.3, member.sizes, stream_of(1), batch.encod)
    assert torch.autograd.gradcheck(loss_of(member, plainly(batch), noise), (member.flat.requires_grad_(),))


def test_members_can_be_stacked(settings, session):
    data = session()
    member = member_of(settings, data)
    batch = batch_of(data)
    loss = loss_of(member, plainly(batch), draw_noise(range(7), 0.2, member.sizes, stream_of(1), batch.encod))
    members = torch.stack([member.flat, 1.1 * member.flat, 0.7 * member.flat])
    together = torch.func.vmap(torch.func.grad(loss))(members)
    apart = torch.stack([torch.func.grad(loss)(one) for one in members])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-13)


def test_gru_resets_before_the_product_and_clips():
    rng = np.random.default_rng(0)
    h, drive = rng.normal(size=(2, 3)), rng.normal(size=(2, 9))
    gates, candidate = rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    z = sigmoid(drive[:, :3] + h @ gates[:3].T)
    r = sigmoid(drive[:, 3:6] + h @ gates[3:].T)
    wanted = z * h + (1 - z) * np.tanh(drive[:, 6:] + (r * h) @ candidate.T)
    weights = GruWeights(torch.zeros(9, 1), torch.zeros(9), torch.tensor(gates), torch.tensor(candidate))
    found = gru_step(torch.tensor(drive), torch.tensor(h), weights, 5.0)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    clipped = gru_step(torch.tensor(drive), torch.tensor(h), weights, 0.1)
    np.testing.assert_allclose(clipped.numpy(), np.clip(wanted, -0.1, 0.1), rtol=1e-12)


@pytest.mark.parametrize("rate", [0.3, 0.7])
@pytest.mark.parametrize("held_out", [False, True])
def test_an_element_is_never_used_to_reconstruct_itself(settings, session, rate, held_out):
    """The loss's gradient at an element that was seen, or held out, is zero."""
    data = session()
    member = member_of(settings, data)
    batch = batch_of(data)
    if held_out:
        mask = (torch.rand(batch.recon.shape, generator=generator_of(9)) < 0.2).double()
        batch = Batch(batch.encod, batch.recon, None, mask)
    kind = AugmentationSettings(sample_validation=0.2 if held_out else 0.0)
    shown = augmented(batch, rate, kind, stream_of(4))
    noise = draw_noise(range(7), 0.0, member.sizes, stream_of(1), batch.encod)
    weights = member.places.views(member.flat)
    made = passed(weights, shown.x, noise, member.sizes, member.recurrence)
    raw = made.raw.detach().requires_grad_()
    from dataclasses import replace

    nll = terms(weights, shown, replace(made, raw=raw), member.sizes).nll
    (gradient,) = torch.autograd.grad(nll, raw)
    seen = shown.x != 0
    assert seen.any() and (gradient[seen] == 0).all()
    assert (gradient != 0).any()
    if held_out:
        assert (shown.x[batch.held_out > 0] == 0).all() and (gradient[batch.held_out > 0] == 0).all()


def test_held_out_elements_never_change_training(settings, session):
    data = session()
    member = member_of(settings, data, augmentations={"sample_validation": 0.25})
    mask = (torch.rand(data.train.recon.shape, generator=generator_of(2)) < 0.25).double()
    counts = torch.tensor(data.train.recon).double()
    found = []
    for more in (0.0, 5.0):
        other = counts + more * mask
        shown = augmented(Batch(other, other, None, mask), 0.4, member.settings.augmentations, stream_of(3))
        noise = draw_noise(range(7), 0.0, member.sizes, stream_of(1), counts)
        flat = member.flat.clone().requires_grad_()
        found.append(torch.autograd.grad(loss_of(member, shown, noise)(flat), flat)[0])
    assert torch.equal(*found)


def test_coordinated_dropout_keeps_the_inputs_mean():
    x = torch.ones(50, 40, 30)
    shown = augmented(Batch(x, x), 0.4, AugmentationSettings(), stream_of(1))
    assert shown.x.mean() == pytest.approx(1.0, abs=0.01)
    assert shown.x.unique().tolist() == pytest.approx([0.0, 1 / 0.6])


def test_bins_that_are_not_there_do_not_count(settings, session):
    data = session()
    member = member_of(settings, data)
    there = torch.ones(7, 8, dtype=torch.float64)
    there[2, 5:] = 0.0
    batch = batch_of(data)
    noise = draw_noise(range(7), 0.0, member.sizes, stream_of(1), batch.encod)
    other = batch.recon.clone()
    other[2, 5:] = 9.0
    losses = [
        loss_of(member, plainly(Batch(counts, counts, there)), noise)(member.flat) for counts in (batch.recon, other)
    ]
    assert losses[0] == losses[1]


def test_kl_of_normals_is_torchs():
    torch.manual_seed(0)
    mean, variance, prior = torch.randn(4, 3), torch.rand(4, 3) + 0.1, torch.randn(3)
    wide = torch.tensor([0.1, 0.2, 0.3])
    normal = torch.distributions.Normal
    wanted = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(prior, wide.sqrt()))
    assert kl_normal(mean, variance, prior, wide) == pytest.approx(float(wanted.sum() / 4), rel=1e-5)


def test_kl_of_ar1_is_that_of_the_whole_process():
    """Against the multivariate normal density of the process over all steps, with its whole covariance."""
    torch.manual_seed(1)
    steps, tau, noise = 6, 3.0, 0.2
    mean, variance = torch.randn(steps, 2, 1, dtype=torch.float64), torch.rand(steps, 2, 1, dtype=torch.float64) + 0.1
    sample = mean + variance.sqrt() * torch.randn_like(mean)
    a = np.exp(-1 / tau)
    covariance = noise / (1 - a**2) * a ** np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
    process = torch.distributions.MultivariateNormal(torch.zeros(steps).double(), torch.tensor(covariance))
    log_q = torch.distributions.Normal(mean, variance.sqrt()).log_prob(sample).sum()
    log_p = process.log_prob(sample[:, :, 0].T).sum()
    logs = torch.tensor([np.log(tau)]), torch.tensor([np.log(noise)])
    assert float(kl_ar1(mean, variance, sample, *logs)) == pytest.approx(float(log_q - log_p) / 2, rel=1e-10)


@pytest.mark.parametrize(
    ("name", "density"),
    [
        ("poisson", lambda raw: torch.distributions.Poisson(raw.exp())),
        (
            "gaussian",
            lambda raw: torch.distributions.Normal(raw.chunk(2, -1)[0], (0.5 * raw.chunk(2, -1)[1]).exp()),
        ),
        (
            "gamma",
            lambda raw: torch.distributions.Gamma(
                *(torch.nn.functional.softplus(part) + 1e-5 for part in raw.chunk(2, -1))
            ),
        ),
    ],
)
def test_reconstruction_is_torchs_density(name, density):
    torch.manual_seed(2)
    one = RECONSTRUCTIONS[name]
    raw = torch.randn(4, 3 * one.parameters, dtype=torch.float64)
    x = torch.poisson(torch.ones(4, 3)).double() + (0.5 if name == "gamma" else 0.0)
    torch.testing.assert_close(one.nll(x, raw), -density(raw).log_prob(x))
    torch.testing.assert_close(one.mean(raw), density(raw).mean)


def test_without_noise_the_inputs_are_their_means(settings, session):
    data = session()
    member = member_of(settings, data)
    made = member.passed(torch.tensor(data.train.encod).double(), Noise())
    assert torch.equal(made.inputs, made.input_means)


class Overheard(PlainRecurrence):
    """Keeps what the controller is told."""

    encoding: torch.Tensor

    def decode(self, steps, given, *more):
        self.encoding = given.encoding
        return super().decode(steps, given, *more)


def test_the_controller_sees_bins_only_up_to_its_lag(settings, session):
    """With lag 2 what it is told at bin t comes from bins up to t - 2 and from t + 2 on."""
    data = session(steps=9)
    member = member_of(settings, data, model={"controller_lag": 2})
    x = torch.tensor(data.train.encod).double().requires_grad_()
    member.recurrence = heard = Overheard()
    member.passed(x, Noise())
    (gradient,) = torch.autograd.grad(heard.encoding[4].sum(), x)
    felt = gradient.abs().sum((0, 2)) > 0
    assert felt.tolist() == [True, True, True, False, False, False, True, True, True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1e-3),
        ("dropout", 0.5),
        ("coordinated_dropout", 0.5),
        ("kl_initial", 1e-2),
        ("kl_inputs", 1e-2),
        ("l2_generator", 1.0),
        ("l2_controller", 1.0),
    ],
)
def test_a_hyperparameter_that_is_changed_changes_training(settings, session, name, value):
    data = session()
    at_once = {"kl_ramp": {"epochs": 0.0}, "l2_ramp": {"epochs": 0.0}}
    members = [Member.fresh(settings(training=at_once), data) for _ in range(2)]
    changed(members[1], **{name: value})
    for member in members:
        train_epoch(member, Data(data.train, member.settings, member.flat.device, "train"))
    assert not torch.equal(members[0].flat, members[1].flat)
    with pytest.raises(ValueError):
        changed(members[0], **{name: -1.0})
