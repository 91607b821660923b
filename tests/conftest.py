"""A fit so small that tests can run the whole program on it: a ball and two sticks, a few ms per individual."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcfit import cli as command_line

ROOT = Path(__file__).resolve().parents[1]

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and every process below
# inherits that: tests of Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A soma of three points, a dendrite of 200 um and an axon of 100 um.  No apical dendrite.
BALL = """\
1 1 0 0 0 8 -1
2 1 0 -8 0 8 1
3 1 0 8 0 8 1
4 3 8 0 0 1 1
5 3 100 0 0 1 4
6 3 208 0 0 1 5
7 2 -8 0 0 0.5 1
8 2 -108 0 0 0.5 7
"""

FIT = """\
name = "tiny"

[cell]
morphology = "ball.swc"
segment_length_um = 50
celsius = 20
[cell.regions]
all = ["pas"]
somatic = ["hh"]

[[parameters]]
variable = "e_pas"
regions = ["all"]
value = -65

[[parameters]]
variable = "g_pas"
regions = ["all"]
bounds = [1e-5, 1e-3]
scale = "log"
unit = "S/cm2"

[[parameters]]
variable = "gnabar_hh"
regions = ["somatic"]
bounds = [0.05, 0.3]

[[parameters]]
variable = "gkbar_hh"
regions = ["somatic"]
bounds = [0.01, 0.1]

[[stimuli]]
name = "step"
duration_ms = 50
electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2 }]

[targets.step.statistics.soma]
Spikecount = [2, 0.5]
AP_amplitude = [75, 3]
voltage_base = [-66, 1]

[[scores]]
features = ["Spikecount", "AP_amplitude", "voltage_base"]

[engine]
workers = 2

[strategy]
parents = 4
offspring = 6
mutation = { gene_rate = 0.5 }

[run]
seed = 3
generations = 3
"""

LEAK = """\
NEURON {
    SUFFIX leak
    NONSPECIFIC_CURRENT i
    RANGE g
    GLOBAL e
}
PARAMETER {
    g = 1e-4 (S/cm2)
    e = -70 (mV)
}
ASSIGNED {
    v (mV)
    i (mA/cm2)
}
BREAKPOINT {
    i = g * (v - e)
}
"""

Tiny = Callable[..., Path]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Mechanisms are compiled once in a test session: the workers of pytest-xdist share their parent's folder."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPCFIT_CACHE", str(folder / "cache"))
        # Started programs must find this checkout, installed or not, from any working folder.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
        yield


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """tiny((old, new), ...): writes ball.swc and fit.toml, with these texts replaced, into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(*changes: tuple[str, str]) -> Path:
        text = FIT
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / "ball.swc").write_text(BALL)
        (tmp_path / "fit.toml").write_text(text)
        return tmp_path / "fit.toml"

    return write


@pytest.fixture
def leak(tmp_path: Path) -> Path:
    """A folder mechanisms/ with one small leak.mod."""
    folder = tmp_path / "mechanisms"
    folder.mkdir()
    (folder / "leak.mod").write_text(LEAK)
    return folder


@pytest.fixture
def hpcfit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """hpcfit("fit", file): the command in this process."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["hpcfit", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capfd.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return call


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """started("fit", file): the command as a process of its own; killed when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "hpcfit.cli", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        processes.append(subprocess.Popen(command, **pipes))  # type: ignore[call-overload]
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()
