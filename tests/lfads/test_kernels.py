"""Do the kernels compute what plain torch does: loss and gradients of whole training steps, and of every kernel?"""

from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from hpcfit.lfads.kernels.decoder import decode
from hpcfit.lfads.kernels.poisson import poisson
from hpcfit.lfads.kernels.recurrence import CompiledRecurrence
from hpcfit.lfads.kernels.sequence import sequence
from hpcfit.lfads.recurrence import GruWeights, PlainRecurrence

from .kernel_cases import stepped, subject

CASES = {
    "usual": {},
    "no controller": {"inferred_inputs": 0},
    "clip active": {"state_clip": 0.2},
    "one step": {"steps": 1},
    "one trial": {"trials": 1},
    "tiles of every size": {"trials": 150},
    "many steps": {"steps": 41},
    "one unit each": {"generator": 1, "factors": 1, "controller": 1, "inferred_inputs": 1, "neurons": 1},
    "many inputs": {"generator": 2, "factors": 1, "controller": 2, "controller_encoder": 1, "inferred_inputs": 20},
    "sizes of whole vectors": {
        "generator": 32,
        "factors": 16,
        "controller": 16,
        "controller_encoder": 8,
        "neurons": 16,
    },
    "window": {"ic_window": 3},
    "lag 3": {"controller_lag": 3},
    "prediction": {"predicted": 4, "unseen": 2},
    "normal prior": {"input_prior": "normal"},
    "gaussian": {"reconstruction": "gaussian"},
    "held out": {"augmentations": {"sample_validation": 0.2, "selective_backpropagation": 0.3}, "missing": True},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_plain_torch(case, dtype):
    given = {"trials": 37, "steps": 9, "neurons": 11, **CASES[case]}
    member, batch = subject(given.pop("trials"), given.pop("steps"), given.pop("neurons"), dtype, **given)
    plain, loss, gradient = stepped(member, batch, PlainRecurrence())
    terms, its_loss, its_gradient = stepped(member, batch, CompiledRecurrence(dtype))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    assert its_loss == pytest.approx(loss, rel=tolerance)
    assert float((its_gradient - gradient).norm() / gradient.norm()) < tolerance
    for name in ("nll", "kl_initial", "kl_inputs", "l2_generator", "l2_controller", "held_out"):
        one, other = float(getattr(terms, name)), float(getattr(plain, name))
        assert one == pytest.approx(other, rel=20 * tolerance, nan_ok=True), name
    assert np.isnan(float(terms.held_out)) == ("sample_validation" not in given.get("augmentations", {}))


def test_without_dropout_and_noise_masks_are_not_needed():
    member, batch = subject(5, 6, 7)
    plain, compiled = (stepped(member, batch, kind, 0.0, 0.0) for kind in (PlainRecurrence(), CompiledRecurrence()))
    assert compiled[1] == pytest.approx(plain[1], rel=1e-6)
    assert float((compiled[2] - plain[2]).norm() / plain[2].norm()) < 1e-6


def test_results_do_not_depend_on_threads_or_calls():
    member, batch = subject(150, 12, 11)
    recurrence, found = CompiledRecurrence(), []
    for threads in (1, 2, 2, 1):
        torch.set_num_threads(threads)
        found.append(stepped(member, batch, recurrence))
    torch.set_num_threads(1)
    for _, loss, gradient in found[1:]:
        assert loss == found[0][1] and torch.equal(gradient, found[0][2])


@pytest.mark.parametrize("target", ["x86-64-v3", "x86-64"])
def test_narrower_vectors_give_the_same(target, monkeypatch):
    if not torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512")):
        pytest.skip("these targets are those of x86 processors with AVX2")
    monkeypatch.setenv("HPCFIT_LFADS_TARGET", target)
    member, batch = subject(37, 9, 11)
    (_, loss, gradient), (_, its_loss, its_gradient) = (
        stepped(member, batch, kind) for kind in (PlainRecurrence(), CompiledRecurrence())
    )
    assert its_loss == pytest.approx(loss, rel=1e-6)
    assert float((its_gradient - gradient).norm() / gradient.norm()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5], ids=str)
def test_what_is_not_finite_is_not_hidden(value, dtype):
    member, batch = subject(3, 4, 5, dtype)
    places = member.places
    for name in ("rates.bias", "generator.candidate", "input_encoder.backward.input"):
        if name != "rates.bias" and not np.isnan(value):
            continue  # states are clipped
        before = member.flat.clone()
        places.views(member.flat)[name].view(-1)[2] = value
        losses = [stepped(member, batch, kind)[1] for kind in (PlainRecurrence(), CompiledRecurrence(dtype))]
        assert not np.isfinite(losses).any(), name
        member.flat = before


def weights(inputs: int, units: int, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (3 * units, inputs), (3 * units,), (2 * units, units), (units, units)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in shapes]


def array(*shape: int, seed: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("clip", [5.0, 0.4], ids=["free", "clipped"])
@pytest.mark.parametrize("last", [False, True], ids=["all", "last"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "backward"])
def test_gradient_of_a_sequence(reverse, last, clip):
    def states(x, start, *its):
        return sequence(x, start, list(its), clip, [reverse, last, False])[0]

    assert gradcheck(states, (array(4, 3, 2), array(3, 3, seed=8), *weights(2, 3, 9)))


NONE = torch.empty(0, dtype=torch.float64)


def of_decoder(controlled: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What goes into a decoder of 2 trials, 4 generator units, 3 factors; with 3 controller units and 2 inputs."""
    kept = (array(3, 2, 3, seed=1) > 0).double(), (array(3, 2, 4, seed=2) > 0).double()
    given = [array(2, 4), array(2, 3), array(3, 2, 5), array(3, 2, 2, seed=3).detach(), *kept]
    made = [*weights(2 if controlled else 0, 4, 4), array(3, 4, seed=5)]
    if not controlled:
        return [given[0], NONE, NONE, NONE, NONE, kept[1]], made
    return given, [*made, *weights(8, 3, 6), array(4, 3, seed=7), array(4, seed=8)]


@pytest.mark.parametrize("clip", [5.0, 0.4], ids=["free", "clipped"])
@pytest.mark.parametrize("masks", [True, False], ids=["masks", "no masks"])
@pytest.mark.parametrize("controlled", [True, False], ids=["controller", "autonomous"])
def test_gradient_of_the_decoder(controlled, masks, clip):
    given, made = of_decoder(controlled)
    if not masks:
        given[3:] = [NONE, NONE, NONE]
    starts = given[: 3 if controlled else 1]

    def found(*tensors):
        its = [*tensors[: len(starts)], NONE, NONE][:3]
        every = decode(3, [*its, *given[3:]], list(tensors[len(starts) :]), clip, 1e-2, False)
        return every[: 5 if controlled else 2]

    assert gradcheck(found, (*starts, *made))


READ_OUT = array(5, 4, seed=11), array(5, seed=12)


def test_gradient_of_the_likelihood():
    counts = torch.poisson(torch.full((3, 2, 5), 1.5, dtype=torch.float64))
    factors, nothing = array(3, 2, 4), [NONE, NONE, NONE]
    assert gradcheck(lambda *given: poisson(*given, counts, nothing, False)[0][0], (factors, *READ_OUT))
    learned = (array(3, 2, 5, seed=1) > 0).double()
    (gradient,) = torch.autograd.grad(poisson(factors, *READ_OUT, counts, [NONE, learned, NONE], False)[0][0], factors)
    raw = torch.nn.functional.linear(factors, *READ_OUT)
    torch.testing.assert_close(gradient, (torch.exp(raw) - counts) * learned @ READ_OUT[0], rtol=1e-12, atol=1e-13)


def test_likelihood_of_any_count():
    """Beyond the table of factorials, and of what is no count."""
    counts = torch.tensor([0.0, 1.0, 2.0, 255.0, 256.0, 1000.0, 2.5], dtype=torch.float64).reshape(1, 1, 7)
    factors, weight, bias = array(1, 1, 1), array(7, 1, seed=2), array(7, seed=3)
    raw = torch.nn.functional.linear(factors, weight, bias)
    expected = -torch.distributions.Poisson(torch.exp(raw), validate_args=False).log_prob(counts).sum()
    sums = poisson(factors, weight, bias, counts, [NONE, NONE, torch.ones_like(counts)], False)[0]
    torch.testing.assert_close(sums.detach(), expected.detach().repeat(2), rtol=1e-13, atol=0)


def test_ops_are_registered_as_torch_wants_them():
    given, made = of_decoder(True)
    counts = torch.ones(3, 2, 5, dtype=torch.float64)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (sequence, (array(3, 2, 2), array(2, 3), weights(2, 3, 1), 5.0, [False, False, False])),
        (sequence, (array(3, 2, 2), array(2, 3), weights(2, 3, 1), 5.0, [True, True, False])),
        (decode, (3, given, made, 5.0, 1e-4, False)),
        (poisson, (array(3, 2, 4), *READ_OUT, counts, [NONE, NONE, NONE], False)),
    ]
    # No comparison by value: what is kept for the way back has gaps that are never written.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for op, arguments in calls:
        torch.library.opcheck(op, arguments, test_utils=checks)


def test_functions_are_exact_to_three_units_in_the_last_place():
    """One step from a state of zero, without weights: (1 - sigmoid(b)) tanh(c) of the biases."""
    for dtype in (torch.float32, torch.float64):
        x = torch.cat([torch.linspace(-30, 30, 4001), torch.logspace(-20, 1, 2000)]).double().to(dtype)
        nothing = torch.zeros(1, 1, dtype=dtype)
        drive = torch.zeros(1, len(x), 3, dtype=dtype)
        drive[0, :, 2] = x
        eye = torch.eye(3, dtype=dtype)
        its = [eye, torch.zeros(3, dtype=dtype), nothing.repeat(2, 1), nothing]
        given = (drive, nothing.expand(len(x), -1), its, 50.0, [False, False, False])
        half_tanh = sequence(*given)[0].flatten()
        assert units_apart(half_tanh, torch.tanh(x.double()) / 2.0) <= 3
        drive[0, :, 0], drive[0, :, 2] = -x, 40.0
        gate = sequence(*given)[0].flatten()  # 1 - sigmoid(-x)
        assert float((gate.double() - torch.sigmoid(x.double())).abs().max()) <= 3 * torch.finfo(dtype).eps


def units_apart(found: torch.Tensor, exact: torch.Tensor) -> float:
    spacing = torch.as_tensor(np.spacing(found.abs().numpy()))
    return float(((found.double() - exact).abs() / spacing.double()).max())


def test_bfloat16_rounds_the_operands_of_products_and_nothing_else():
    """One step from zero: products of the input alone, so torch's own rounding of input and weights is the oracle."""
    x, (w, bias, gates, candidate) = array(1, 40, 30).float(), (one.float() for one in weights(30, 20, 2))
    start = torch.zeros(40, 20)
    its = [w, bias, gates, candidate]
    found, exact = (sequence(x, start, its, 5.0, [False, True, way])[0] for way in (True, False))
    plain = GruWeights(w.bfloat16().float(), bias, gates, candidate)
    expected = PlainRecurrence().last(x.bfloat16().float(), start, plain, 5.0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert float((found - exact).detach().abs().max()) > 1e-4


@pytest.mark.parametrize("target", ["native", "x86-64-v3"])
def test_a_step_in_bfloat16_is_near_that_in_float32(target, monkeypatch):
    if target != "native" and not torch.backends.cpu.get_cpu_capability().startswith(("AVX2", "AVX512")):
        pytest.skip("a target of x86 processors with AVX2")
    monkeypatch.setenv("HPCFIT_LFADS_TARGET", target)
    member, batch = subject(37, 9, 11)
    if target == "native":
        recurrence = CompiledRecurrence(bfloat16=True)
    else:
        with pytest.warns(UserWarning, match="no bfloat16 products"):
            recurrence = CompiledRecurrence(bfloat16=True)
    (_, loss, gradient), (_, its_loss, its_gradient) = (
        stepped(member, batch, kind) for kind in (PlainRecurrence(), recurrence)
    )
    assert 0 < abs(its_loss / loss - 1) < 2e-3
    assert 1e-4 < float((its_gradient - gradient).norm() / gradient.norm()) < 2e-2
