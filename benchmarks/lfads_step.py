"""How long does a training step of LFADS take, and how much memory, against plain torch written the usual way?

    OMP_NUM_THREADS=1 envs/local python benchmarks/lfads_step.py [--quick] [--rounds N] [--shapes 500x100x50,...]

A step is forward, backward, gradient clip and Adam, with coordinated dropout, dropout and noise drawn anew, on one
thread.  Four ways to compute it run in turns in one process, so that a shared machine's drift hits all alike: torch
written the usual way (lfads_in_loop.py), hpcfit's plain torch, its kernels in float32, and with products in bfloat16.
Ratios are taken within a round; their median is quoted.  Before that all must agree on loss and gradient, with the same
masks and noise.  All four profit from the kernels' having glibc keep freed memory (docs/lfads_kernels.md): by itself
the usual way is slower than it is here.  Memory is the peak of a process of its own that takes three steps, less what
it held before the first.
"""

import argparse
import cProfile
import gc
import json
import multiprocessing
import pstats
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lfads_in_loop import InLoopRecurrence
from torch import Tensor

from hpcfit.lfads.augmentation import Batch, augmented
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.kernels.recurrence import CompiledRecurrence
from hpcfit.lfads.loss import Shown, terms
from hpcfit.lfads.model import Noise, passed
from hpcfit.lfads.numbers import stream_of
from hpcfit.lfads.optimiser import Adam, clipped
from hpcfit.lfads.recurrence import PlainRecurrence, Recurrence
from hpcfit.lfads.settings import ChaoticRnnSettings, DataSettings, LfadsSettings
from hpcfit.lfads.stepping import Step, step_gradient
from hpcfit.lfads.training import Member
from hpcfit.lfads.weights import Sizes

GOALS = {"500x100x50": {"float32": 2.0, "bfloat16": 3.0}, "100x350x150": {"float32": 2.4, "bfloat16": 3.0}}
WAYS = ("usual", "plain", "float32", "bfloat16")
DROPOUT, COORDINATED, LEARNING_RATE, CLIP, LOSS_SCALE = 0.3, 0.3, 1e-3, 200.0, 1e4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small shape, one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", default=",".join(GOALS), help="trials x steps x neurons, with commas between")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shapes, rounds = (["40x20x20"], 1) if arguments.quick else (arguments.shapes.split(","), arguments.rounds)
    figures = {shape: measured(shape, rounds) for shape in shapes}
    claim = "a training step of LFADS against plain torch with all projections in its loops, one thread"
    print(json.dumps({"claim": claim, "goals": GOALS, "sgemm_GFLOP_s": round(sgemm_rate()), "shapes": figures}))


def measured(shape: str, rounds: int) -> dict[str, object]:
    """All figures of one shape."""
    trials, steps, neurons = (int(number) for number in shape.split("x"))
    member, batch = subject(trials, steps, neurons)
    apart = agreement(member, batch)
    stepping = {way: stepper(way, member, batch) for way in WAYS}
    for one in stepping.values():
        one()  # what is built or allocated once
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way, one in stepping.items():
            start = time.perf_counter()
            one()
            seconds[way].append(time.perf_counter() - start)
        said = "  ".join(f"{way} {seconds[way][-1]:.3f} s" for way in WAYS)
        print(f"{shape} round {number}: {said}", flush=True)
    ratio = {way: float(np.median(np.array(seconds["usual"]) / np.array(seconds[way]))) for way in WAYS[1:]}
    best = {way: min(values) for way, values in seconds.items()}
    work, floor = flops(member.sizes, trials), flops(member.sizes, trials) / sgemm_rate() / 1e9
    memory = {way: peak_MB(way, trials, steps, neurons) for way in WAYS}
    parts = {way: by_part(stepping[way]) for way in ("float32", "bfloat16")}
    for way, times in parts.items():
        print(f"{shape} {way}: " + "  ".join(f"{name} {value:.3f} s" for name, value in times.items()))
    return {
        "speedup": {way: round(value, 2) for way, value in ratio.items()},
        "seconds_least": {way: round(value, 3) for way, value in best.items()},
        "seconds_median": {way: round(float(np.median(values)), 3) for way, values in seconds.items()},
        "GFLOP": round(work / 1e9, 1),
        "sgemm_floor_s": round(floor, 3),
        "share_of_sgemm_floor": {way: round(floor / value, 2) for way, value in best.items()},
        "peak_MB": memory,
        "memory_ratio": {way: round(memory[way] / memory["usual"], 2) for way in WAYS[1:]},
        "parts_s": {way: {name: round(value, 3) for name, value in times.items()} for way, times in parts.items()},
        "largest_difference": apart,
    }


def subject(trials: int, steps: int, neurons: int) -> tuple[Member, Batch]:
    """A model of the papers' size, half way through its ramps, and a batch of counts."""
    spikes = np.random.default_rng(1).poisson(0.2, (trials + 1, steps, neurons)).astype(np.float32)
    train, valid = (Trials(spikes[rows], spikes[rows]) for rows in (slice(trials), slice(trials, None)))
    settings = LfadsSettings(name="step", data=DataSettings(chaotic_rnn=ChaoticRnnSettings()))
    member = Member.fresh(settings, Session(train, valid), PlainRecurrence())
    counts = torch.as_tensor(spikes[:trials])
    return member, Batch(counts, counts)


def agreement(member: Member, batch: Batch) -> dict[str, dict[str, float]]:
    """Relative differences of loss and gradient from plain torch's, with the same masks and noise.

    Raises RuntimeError where they are too large to be the same maths.
    """
    found: dict[str, tuple[float, Tensor]] = {}
    for way in WAYS:
        kind = InLoopRecurrence() if way == "usual" else recurrence(way)
        stream = stream_of(1, "agreement")
        shown = augmented(batch, COORDINATED, member.settings.augmentations, stream, kind.numbers)
        step = Step(shown, stream, DROPOUT, member.scales(35.0), LOSS_SCALE)
        sums, gradient = step_gradient(member.flat, step, member.places, member.sizes, kind)
        found[way] = float(sums.total(step.scales)), gradient
    loss, gradient = found["plain"]
    apart = {
        way: {"loss": abs(other / loss - 1.0), "gradient": float((its - gradient).norm() / gradient.norm())}
        for way, (other, its) in found.items()
        if way != "plain"
    }
    for way, differences in apart.items():
        if max(differences.values()) > (3e-2 if way == "bfloat16" else 3e-6):
            raise RuntimeError(f"{way} computes something else than plain torch: {differences}")
    return apart


def recurrence(way: str) -> Recurrence:
    """Who computes that way."""
    return PlainRecurrence() if way == "plain" else CompiledRecurrence(bfloat16=way == "bfloat16")


def stepper(way: str, member: Member, batch: Batch) -> Callable[[], None]:
    """One whole training step of a copy of the model."""
    if way == "usual":
        return usual_stepper(member, batch)
    flat, kind, number = member.flat.clone(), recurrence(way), iter(range(10**9))
    adam = Adam.of(flat)

    def step() -> None:
        stream = stream_of(1, "step", next(number))
        shown = augmented(batch, COORDINATED, member.settings.augmentations, stream, kind.numbers)
        made = Step(shown, stream, DROPOUT, member.scales(35.0), LOSS_SCALE)
        _, gradient = step_gradient(flat, made, member.places, member.sizes, kind)
        adam.step(flat, clipped(gradient, CLIP)[0], LEARNING_RATE)

    return step


def usual_stepper(member: Member, batch: Batch) -> Callable[[], None]:
    """The usual way: parameters of their own, torch's random numbers, optimiser and clip, the whole batch at once."""
    leaves = {name: view.clone().requires_grad_() for name, view in member.places.views(member.flat).items()}
    adam = torch.optim.Adam(leaves.values(), lr=LEARNING_RATE)
    model, kind = member.sizes.model, InLoopRecurrence(DROPOUT)

    def step() -> None:
        kept = (torch.rand_like(batch.encod) >= COORDINATED).float()
        shown = Shown(batch.encod * kept / (1.0 - COORDINATED), batch.recon, None, 1.0 - kept)
        encoding = (torch.rand(len(kept), 2 * model.ic_encoder) >= DROPOUT) / (1.0 - DROPOUT)
        noise = Noise(torch.randn(len(kept), model.initial_condition), encoding_kept=encoding)
        made = passed(leaves, shown.x, noise, member.sizes, kind)
        adam.zero_grad()
        (terms(leaves, shown, made, member.sizes).total(member.scales(35.0)) * LOSS_SCALE).backward()
        torch.nn.utils.clip_grad_norm_(leaves.values(), CLIP)
        adam.step()

    return step


def flops(sizes: Sizes, trials: int) -> float:
    """Of all products of a step: forward, and twice that backward, less the gradient of the data."""
    model, seen = sizes.model, sizes.seen
    encoders = sum(2 * (3 * n * seen + 3 * n * n) for n in (model.ic_encoder, model.controller_encoder))
    c, g, f, u = model.controller, model.generator, model.factors, model.inferred_inputs
    controller = 3 * c * (2 * model.controller_encoder + f + c) + 2 * u * c
    all_of_it = encoders + controller + 3 * g * (u + g) + f * g + sizes.explained * f
    of_data = sum(2 * 3 * n * seen for n in (model.ic_encoder, model.controller_encoder))
    return 2.0 * trials * sizes.steps * (3 * all_of_it - of_data)


def sgemm_rate() -> float:
    """GFLOP/s of torch's product of large float32 matrices, the best of some."""
    size = 2000
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * size**3 / best


PARTS = {
    "encoders forward": ("sequence.py", "sequence"),
    "encoders backward": ("sequence.py", "sequence_backward"),
    "decoder forward": ("decoder.py", "decode"),
    "decoder backward": ("decoder.py", "decode_backward"),
    "random numbers": ("numbers.py", "_draw"),
    "likelihood": ("poisson.py", "poisson"),
    "clip and Adam": ("optimiser.py", "step", "clipped"),
}


def by_part(step: Callable[[], None]) -> dict[str, float]:
    """Seconds of a step in each kernel, and in what torch does around them."""
    profile = cProfile.Profile()
    profile.runcall(step)
    stats = pstats.Stats(profile)
    times = dict.fromkeys([*PARTS, "torch around them"], 0.0)
    for (path, _, name), (_, _, _, cumulative, _) in stats.stats.items():  # pyright: ignore[reportAttributeAccessIssue]
        for part, (file, *names) in PARTS.items():
            if path.endswith((f"/lfads/kernels/{file}", f"/lfads/{file}")) and name in names:
                times[part] += cumulative
    times["torch around them"] = stats.total_tt - sum(times.values())  # pyright: ignore[reportAttributeAccessIssue]
    return times


def peak_MB(way: str, trials: int, steps: int, neurons: int) -> int:
    """What three steps add to the peak of a process of their own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_added, (way, trials, steps, neurons))


def _added(way: str, trials: int, steps: int, neurons: int) -> int:
    torch.set_num_threads(1)
    one = stepper(way, *subject(trials, steps, neurons))
    small = stepper(way, *subject(2, 3, neurons))
    small()  # libraries that are loaded at the first step are no step's memory
    gc.collect()
    before = _status_kB("VmRSS")
    for _ in range(3):
        one()
    return round((_status_kB("VmHWM") - before) / 1024)


def _status_kB(name: str) -> int:
    """Of this process; getrusage would also count what its parent had held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
