"""Does the batched engine compute with a user's own .mod file what NEURON computes?  One process of its own per file.

A file may crash NEURON, its compiler or this process' compiler; the process that asks is not harmed.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.engines.batched import BatchedEngine, read_mechanisms, sources
from hpcfit.biophys.engines.interface import Status
from hpcfit.biophys.engines.mod_files import compiled
from hpcfit.biophys.engines.neuron_service import NeuronFactory, NeuronService
from hpcfit.biophys.engines.nmodl import read_mechanism
from hpcfit.biophys.engines.trial_cell import STIMULUS, trial_cell, trial_stimulus, trial_values
from hpcfit.biophys.protocols import build_stimulus
from hpcfit.biophys.settings import EngineSettings
from hpcfit.biophys.stimulus import Stimulus
from hpcfit.errors import HpcfitError, MechanismError

SPIKE_MV = -20.0
SAME_MV, SAME_MS = 1e-6, 1e-6
_DT_MS = 0.025
_INDIVIDUALS = 5
_NUDGE_MV = 1e-9
_TALLY = "hpcfit trial: "


@dataclass(frozen=True)
class Trial:
    """How far the batched engine (double precision) is from NEURON with one mechanism.

    Attributes
    ----------
    verdict
        same: voltages before the first spike to 1e-6 mV and spikes to 1e-6 ms, both orders; sensitive: not, but NEURON
        itself moves as much when it starts 1e-9 mV elsewhere; different; untried: NEURON cannot compile or run the
        file, or both simulators diverge; refused: the batched engine does not take it, with events or at this order.
    before_mV, spike_ms, all_mV
        Largest differences: before the first spike, of spike times, and anywhere; nudged_mV: that of NEURON, nudged.
    effect_mV
        What the mechanism does to the voltage: 0 if the trial shows nothing of it.
    reason
        In words, where there is no number.
    """

    verdict: str
    before_mV: float = 0.0
    spike_ms: float = 0.0
    all_mV: float = 0.0
    nudged_mV: float = 0.0
    effect_mV: float = 0.0
    reason: str = ""


def try_against_neuron(path: Path, orders: Sequence[int] = (1, 2), deadline_s: float = 240.0) -> Trial:
    """Compile a mechanism for both simulators and compare small cells, in a process of its own.

    orders: of the step in time, each with a kernel of its own.
    """
    with tempfile.TemporaryDirectory(prefix="hpcfit-trial-") as work:
        environment = {**os.environ, "HPCFIT_CACHE": work}
        command = [sys.executable, "-m", "hpcfit.biophys.engines.trial", str(path), work, *map(str, orders)]
        try:
            done = subprocess.run(
                command, cwd=work, env=environment, capture_output=True, text=True, errors="replace", timeout=deadline_s
            )
        except subprocess.TimeoutExpired:
            return Trial("untried", reason=f"took longer than {deadline_s:g} s")
    tally = [line for line in done.stdout.splitlines() if line.startswith(_TALLY)]
    if tally:
        return Trial(**json.loads(tally[-1].removeprefix(_TALLY)))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return Trial("untried", reason=f"the process ended with code {done.returncode}: {last}")


def compare(path: Path, work: Path, orders: Sequence[int]) -> Trial:
    """What `try_against_neuron` does, in this process; `work`: an empty folder."""
    mechanism = read_mechanism(path)
    folder = work / "mechanisms"
    folder.mkdir()
    (folder / "tried.mod").write_bytes(path.read_bytes())
    cell, stimulus = trial_cell(mechanism, work), build_stimulus(trial_stimulus(mechanism))
    try:
        library = compiled(folder)
        bare = _neuron(
            _service(_without(cell, mechanism), build_stimulus(STIMULUS), library),
            trial_values(cell, 1)[:, :1],
            order=1,
        )
        service = _service(cell, stimulus, library)
    except (HpcfitError, RuntimeError) as error:
        return Trial("untried", reason=f"NEURON refuses it: {str(error).splitlines()[0]}")
    values = trial_values(cell, _INDIVIDUALS)
    try:
        found = [_compared(service, cell, mechanism, values, order) for order in orders]
    except MechanismError as error:
        return Trial("refused", reason=str(error).replace(str(folder / "tried.mod"), path.name))
    worst = max(
        found, key=lambda trial: (("same", "untried", "sensitive", "different").index(trial.verdict), trial.all_mV)
    )
    with_it = _neuron(service, values[:1], order=1)
    effect = float(np.nanmax(np.abs(with_it - bare))) if np.any(np.isfinite(with_it)) else np.nan
    return Trial(**{**asdict(worst), "effect_mV": effect})


def _without(cell: Cell, mechanism: Mechanism) -> Cell:
    """The cell without the mechanism: what it does to the voltage is the difference."""
    inserted = [name for name in cell.settings.regions["all"] if name != mechanism.name]
    parameters = tuple(p for p in cell.parameters if p.variable in ("g_pas", "e_pas", "v_init"))
    return Cell(cell.settings.model_copy(update={"regions": {"all": inserted}}), parameters, cell.sites)


def _service(cell: Cell, stimulus: Stimulus, library: Path) -> NeuronService:
    from neuron import h

    for section in list(h.allsec()):
        h.delete_section(sec=section)
    loaded = None if hasattr(_service, "loaded") else library
    _service.loaded = True  # type: ignore[attr-defined]
    settings = EngineSettings(record_dt_ms=_DT_MS, tables="ignore")
    return NeuronFactory(cell, (stimulus,), settings, loaded)()


def _neuron(service: NeuronService, values: np.ndarray, order: int) -> np.ndarray:
    """(individuals, time), mV; NaN where NEURON fails."""
    service.settings = service.settings.model_copy(update={"order": order})
    traces = []
    for row in values:
        status, _, v_mV = service.simulate(row, STIMULUS.name)
        traces.append(v_mV[0] if status == Status.OK and v_mV is not None else np.full(_samples(), np.nan))
    return np.array(traces)


def _samples() -> int:
    return 1 + round(STIMULUS.duration_ms / _DT_MS)


def _compared(service: NeuronService, cell: Cell, mechanism: Mechanism, values: np.ndarray, order: int) -> Trial:
    theirs = _neuron(service, values, order)
    nudged = _neuron(service, values + np.eye(1, values.shape[1]) * _NUDGE_MV, order)
    structure = service.structure(values.mean(axis=0))
    settings = EngineSettings(
        kind="batched",
        precision="double",
        order=1 if order == 1 else 2,
        record_dt_ms=_DT_MS,
        workers=1,
        tables="ignore",
    )
    mechanisms = read_mechanisms(cell.settings.mechanisms, sources(structure), order)
    engine = BatchedEngine(cell, structure, mechanisms, tuple(service.stimuli.values()), settings)
    ours = engine.simulate(values, [STIMULUS.name]).v_mV[0][:, 0]
    return judged(ours, theirs, nudged)


def judged(ours: np.ndarray, theirs: np.ndarray, nudged: np.ndarray) -> Trial:
    """The verdict on traces (individuals, time), mV; rows of failed simulations are NaN."""
    finite = [np.all(np.isfinite(v), axis=1) for v in (ours, theirs)]
    if np.any(finite[0] != finite[1]):
        row = int(np.flatnonzero(finite[0] != finite[1])[0])
        if not finite[1][row]:
            return Trial("untried", reason="NEURON's voltage runs away or is no number with the file's own defaults")
        return Trial("different", np.inf, reason="the batched engine diverges, NEURON does not")
    rows = np.flatnonzero(finite[0])
    if not len(rows):
        return Trial("untried", reason="both simulators diverge")
    before = max(_before_spike(ours[row], theirs[row]) for row in rows)
    spikes = max(_spike_shift(ours[row], theirs[row]) for row in rows)
    everywhere = float(np.max(np.abs(ours[rows] - theirs[rows])))
    moved = float(np.nanmax(np.abs(nudged[rows] - theirs[rows]), initial=0.0))
    verdict = "same" if before <= SAME_MV and spikes <= SAME_MS else "sensitive" if everywhere <= moved else "different"
    return Trial(verdict, before, spikes, everywhere, moved)


def _spikes(v_mV: np.ndarray) -> np.ndarray:
    """Interpolated upward crossings, ms."""
    up = np.flatnonzero((v_mV[1:] > SPIKE_MV) & (v_mV[:-1] <= SPIKE_MV))
    return _DT_MS * (up + (SPIKE_MV - v_mV[up]) / (v_mV[up + 1] - v_mV[up]))


def _before_spike(ours: np.ndarray, theirs: np.ndarray) -> float:
    spikes = _spikes(theirs)
    end = max(1, int(spikes[0] / _DT_MS)) if len(spikes) else len(theirs)
    return float(np.max(np.abs(ours[:end] - theirs[:end])))


def _spike_shift(ours: np.ndarray, theirs: np.ndarray) -> float:
    one, other = _spikes(ours), _spikes(theirs)
    return float(np.max(np.abs(one - other), initial=0.0)) if len(one) == len(other) else float("inf")


if __name__ == "__main__":
    found = compare(Path(sys.argv[1]), Path(sys.argv[2]), [int(order) for order in sys.argv[3:]])
    print(f"{_TALLY}{json.dumps(asdict(found))}", flush=True)
    os._exit(0)  # a mechanism may break NEURON's own end
