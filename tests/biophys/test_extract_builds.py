"""Is the extractor the same to the last bit however wide its packs are, and is its source also CUDA device code?

One lane is what a device's thread has.  nvcc compiles it here and nothing runs on a device.
"""

from __future__ import annotations

import resource
import subprocess

import numpy as np
import pytest

from hpcfit.biophys.codegen.build import vector_bytes
from hpcfit.biophys.extract import extract, feature_names
from hpcfit.biophys.extract.kernel import CUDA_FLAGS, source

from ..codegen.test_scalar_and_cuda import nvcc
from .efel_oracle import alone
from .synthetic_traces import KINDS, synthetic

ALL = feature_names() + feature_names("ipfx")
SETTINGS = {"ipfx": {"baseline_interval": 0.015}}
WINDOW_MS = (20.0, 120.0)


def some(seed: int, dt_ms: float, single: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    traces = [synthetic(rng, kind, round(150 / dt_ms), dt_ms, WINDOW_MS) for kind in KINDS]
    return np.array(traces, dtype=np.float32 if single else float)


def same_bits(ours, theirs) -> bool:
    pairs = [(getattr(ours, each), getattr(theirs, each)) for each in ("mean", "count", "reason")]
    pairs += [(a, b) for name in ALL for a, b in zip(ours.values(name), theirs.values(name), strict=True)]
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_however_many_lanes_there_are_the_bits_are_the_same(lanes, monkeypatch):
    if 8 * lanes > vector_bytes():
        pytest.skip(f"this machine's registers hold {vector_bytes() // 8} numbers, not {lanes}")
    cases = [(some(seed, dt_ms, seed % 2 == 1), dt_ms) for seed, dt_ms in enumerate((0.1, 0.1, 0.025, 0.04, 0.3))]
    widest = [extract(traces, dt_ms, WINDOW_MS, ALL, SETTINGS) for traces, dt_ms in cases]
    monkeypatch.setenv("HPCFIT_EXTRACT_LANES", str(lanes))
    assert all(
        same_bits(extract(traces, dt_ms, WINDOW_MS, ALL, SETTINGS), wide)
        for (traces, dt_ms), wide in zip(cases, widest, strict=True)
    )


def test_interpolated_voltages_are_efels_to_the_last_bit():
    """Where recorded and interpolated times drift past each other too: a sample may come from the pair before."""
    rng, compared = np.random.default_rng(0), 0
    for number in range(200):
        knots, spread, dt_ms = int(rng.integers(2, 60)), int(rng.integers(1, 12)), (0.1, 0.3)[number % 2]
        at = np.arange((knots - 1) * spread + 1) / spread
        trace = np.interp(at, np.arange(knots), rng.integers(-90, 50, knots).astype(float))
        theirs = alone(trace, np.arange(len(trace)) * dt_ms, (1.0, 3.0), ["peak_voltage"])["peak_voltage"]
        ours, _ = extract(trace, dt_ms, (1.0, 3.0), ["peak_voltage"]).values("peak_voltage")
        assert np.array_equal(ours, [] if theirs is None else theirs)
        compared += len(ours)
    assert compared > 1000


def _at_most_6_gib() -> None:
    """The assembler takes what there is when all calls are inlined: fail instead."""
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))


def compiled_for_device(text: str, folder) -> tuple[str, bytes]:
    """What nvcc says, and the device's machine code."""
    (folder / "kernel.cu").write_text(text)
    command = [nvcc(), *CUDA_FLAGS, "-arch=sm_80", "-cubin", "-allow-unsupported-compiler"]
    done = subprocess.run(
        [*command, "kernel.cu", "-o", "kernel.cubin"],
        cwd=folder,
        capture_output=True,
        text=True,
        preexec_fn=_at_most_6_gib,
    )
    code = (folder / "kernel.cubin").read_bytes() if done.returncode == 0 else b""
    return done.stdout + done.stderr, code


def test_the_same_source_compiles_as_device_code(tmp_path):
    said, code = compiled_for_device(source("cuda_check.cu.hpp"), tmp_path)
    assert b"hpcfit_extract_check" in code, said


def test_what_belongs_to_the_host_does_not_compile_as_device_code(tmp_path):
    """Or the test above could not fail."""
    text, declared = source("cuda_check.cu.hpp"), "DEVICE inline int spike_count("
    assert declared in text
    said, code = compiled_for_device(text.replace(declared, "inline int spike_count("), tmp_path)
    assert not code and "spike_count" in said


def test_more_lanes_than_one_are_refused_by_the_source(tmp_path):
    said, code = compiled_for_device("#define HPCFIT_EXTRACT_LANES 8\n" + source("cuda_check.cu.hpp"), tmp_path)
    assert not code and "HPCFIT_EXTRACT_LANES must be 1" in said
