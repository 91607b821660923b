"""Are random numbers those of Philox, the same from torch and from the kernel, and of the right distribution?"""

import pytest
import torch
from scipy import stats

from hpcfit.lfads.kernels.numbers import CompiledNumbers
from hpcfit.lfads.numbers import ARRAYS, PlainNumbers, philox, stream_of

FLOAT, DOUBLE = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
DRAWERS = [PlainNumbers(), CompiledNumbers()]
PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)

# kat_vectors of Random123 (Salmon et al. 2011), philox4x32 with 10 rounds: counter, key, answer.
KNOWN = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, 0xFFFFFFFFFFFFFFFF, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (PI, 0x299F31D0A4093822, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_words_are_those_of_philox(counter, key, answer):
    assert tuple(int(word) for word in philox([torch.tensor([word]) for word in counter], key)) == answer


@pytest.mark.parametrize("like", [FLOAT, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 1), (5, 7, 40), (2, 128), (4, 129)], ids=str)
def test_kernel_and_torch_draw_the_same(shape, like):
    stream = stream_of(1, "step", 2, 3)
    plain, compiled = (drawer.kept(stream, "states_kept", shape, 0.3, like, 11) for drawer in DRAWERS)
    assert torch.equal(plain, compiled) and compiled.dtype == like.dtype
    plain, compiled = (drawer.normal(stream, "inputs", shape, like, 11) for drawer in DRAWERS)
    torch.testing.assert_close(compiled, plain, rtol=0, atol=2e-6 if like is FLOAT else 1e-14)


@pytest.mark.parametrize("drawer", DRAWERS, ids=["plain", "compiled"])
def test_parts_of_a_batch_draw_what_the_whole_draws(drawer):
    stream, shape = stream_of(1), (70, 9, 33)
    for draw, more in ((drawer.kept, (0.4,)), (drawer.normal, ())):
        whole = draw(stream, "inputs", shape, *more, FLOAT)
        parts = [draw(stream, "inputs", (rows, 9, 33), *more, FLOAT, first) for first, rows in ((0, 30), (30, 40))]
        assert torch.equal(torch.cat(parts), whole)


def test_streams_arrays_trials_and_elements_differ():
    drawer, shape = CompiledNumbers(), (40, 500)
    one, other = stream_of(1, "step", 0), stream_of(1, "step", 1)
    draws = [drawer.normal(stream, array, shape, DOUBLE) for stream in (one, other) for array in ARRAYS[:2]]
    together = torch.corrcoef(torch.stack([draw.flatten() for draw in draws]))
    assert float((together - torch.eye(4)).abs().max()) < 0.03  # 4 standard errors
    trials = torch.corrcoef(draws[0])
    assert float((trials - torch.eye(40)).abs().max()) < 0.25


def test_normal_numbers_are_normal():
    drawn = CompiledNumbers().normal(stream_of(5), "initial", (100, 1000), FLOAT).flatten().numpy()
    assert stats.kstest(drawn, "norm").pvalue > 1e-3
    assert abs(stats.kurtosis(drawn)) < 0.06


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.95])
def test_masks_drop_the_rate_and_keep_the_mean(rate):
    drawn = CompiledNumbers().kept(stream_of(6), "factors_kept", (100, 2000), rate, DOUBLE)
    dropped = int((drawn == 0).sum())
    assert stats.binomtest(dropped, drawn.numel(), rate).pvalue > 1e-3
    assert set(drawn.unique().tolist()) == {0.0, 1.0 / (1.0 - rate)}
