"""How do the ranks of a job share one fit?  Rank 0 runs it; the others measure individuals that it deals to them.

Ranges over generation 0, strategy and ledger are rank 0's alone; where units are known each rank scores what it has
measured, row by row, to the same bits.
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpcfit.biophys.engines.interface import Engine, Status, cores
from hpcfit.biophys.engines.memory import memory_limit
from hpcfit.biophys.engines.neuron import SERVICE, NeuronEngine
from hpcfit.biophys.problem import SCORER, Evaluator, Measured, Problem, Scored
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.terms import Term
from hpcfit.config import validate
from hpcfit.errors import HpcfitError, InputError, Unfinished
from hpcfit.jobs import folder as run_folder
from hpcfit.jobs.calls import OnBlock
from hpcfit.jobs.clocks import Clocks
from hpcfit.jobs.leaving import SIGNAL
from hpcfit.jobs.signals import left_to_rank_0
from hpcfit.jobs.simulators import choose_simulator, simulator_factory
from hpcfit.population.ledger import Header
from hpcfit.population.timeline import Timeline
from hpcfit.run.comm import Comm, Link
from hpcfit.run.driver import Driver, Plan, dismiss, serve
from hpcfit.run.hand import Answer, Work
from hpcfit.run.mpi import launched_ranks, leave_last, world
from hpcfit.run.pipeline import SideBySide
from hpcfit.run.processes import Processes
from hpcfit.run.slurm.environment import this_job

_HASTE_S = 5.0
"""For goodbyes when a job ends: a rank that was killed is the reason at times, and SIGKILL comes to the others."""


@contextmanager
def ranks(mpi: bool | None) -> Iterator[Comm | None]:
    """The ranks of this job, or None where there is no other: mpi4py is then not even imported.

    mpi: whether to ask MPI; None: when a launcher has started several of us.  When the block ends, rank 0 dismisses the
    others; what is no user's error on any rank aborts the job, as `python -m mpi4py` does, for else the others would
    wait for ever.

    Raises
    ------
    EngineError
        When there is no MPI, or the wrong launcher was used: the cure.
    """
    if not (launched_ranks() > 1 if mpi is None else mpi):
        yield None
        return
    comm = world()
    try:
        yield comm
    except (HpcfitError, KeyboardInterrupt) as error:
        if comm.rank:
            _aborted(comm, error)
        code = getattr(error, "exit_code", 130)
        _dismissed(comm, code, str(error))
        leave_last(comm)
        raise
    except BaseException as error:
        _aborted(comm, error)
    else:
        if comm.rank == 0:
            _dismissed(comm, 0, "")


def _aborted(comm: Comm, error: BaseException) -> None:
    sys.stdout.flush()
    print(f"hpcfit: rank {comm.rank} of {comm.size} aborts the job", file=sys.stderr)
    traceback.print_exception(error)
    sys.stderr.flush()
    comm.abort(1)


def _dismissed(comm: Comm, code: int, why: str) -> None:
    """All is written.  A rank that does not say goodbye is deep in something, or gone: MPI would wait for it.

    A job that is ended with 0 is not ended by every launcher; when this one is started again, it finds all done.
    """
    patience = {"patience_s": _HASTE_S} if code == Unfinished.exit_code else {}
    if not dismiss(comm, **patience):
        print(f"hpcfit: a rank does not answer; the job is ended.  {why}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        comm.abort(code or Unfinished.exit_code)


def serve_rank(comm: Link) -> None:
    """What every rank of MPI but 0 does."""

    def tell(number: int) -> None:
        comm.send(0, {"kind": SIGNAL, "number": number})

    with left_to_rank_0(this_job() is not None, tell) as leave:
        if not serve(comm, lambda plan: _built(comm, plan), leave):
            raise KeyboardInterrupt


def serve_seat(link: Link, leave: Callable[[], bool]) -> None:
    """What a worker of a team does; `leave`: see run/team/seat.py."""
    serve(link, lambda plan: _built(link, plan), leave)


def plan_of(settings: FitSettings, base: Path, header: Header) -> Plan:
    """What the other ranks need to build the same problem, and to know that it is the same.

    The settings themselves are sent: a file may have changed by the time that a rank reads it.
    """
    base = base.resolve()
    return {"settings": run_folder.json_settings(settings, base), "base": str(base), "same": _same(header)}


def sized(problem: Problem, comm: Link) -> Problem:
    """The problem, simulated by this rank's part of its machine where the settings leave that open."""
    engine = problem.settings.engine
    changed: dict[str, Any] = {"workers": engine.workers or comm.cores}
    if engine.memory_GiB is None and comm.neighbours > 1:
        changed["memory_GiB"] = memory_limit(None) / comm.neighbours / 2.0**30
    settings = problem.settings.model_copy(update={"engine": engine.model_copy(update=changed)})
    return replace(problem, settings=settings)


class Measuring:
    """An evaluator's first half as the work of a rank: parameters in; features and statuses out."""

    def __init__(self, evaluator: Evaluator, engine: Engine, pools: Sequence[Processes], timeline: Timeline) -> None:
        """timeline: of the evaluator, whose stages' clocks travel with the answers."""
        self.evaluator, self.engine, self._pools = evaluator, engine, pools
        self._cancelled = False
        self._clocks = Clocks(timeline)
        self._terms: tuple[Term, ...] | None = None

    def work(self, forget: Timeline | None = None) -> Work:
        """`forget`: a timeline that nobody reads here."""

        def do(rows: np.ndarray) -> Answer:
            if self._cancelled:  # a pool that was cancelled as it had just ended would leave this one
                for pool in self._pools:
                    pool.close()
                self._cancelled = False
            began_s = self._clocks.begun()
            found = self.evaluator.measured(rows)
            answer = self._answer(found)
            answer.head["clocks"] = self._clocks.told(began_s)
            if forget is not None:  # told by then
                forget.taken()
            return answer

        return Work(do, self.cancel, self._quantum(), self._failed, self._told)

    def _told(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The units of all score functions, (score functions,)."""
        terms = self.evaluator.problem.targets.terms
        self._terms = tuple(replace(term, sd=float(sd)) for term, sd in zip(terms, arrays["units"], strict=True))

    def _failed(self, rows: np.ndarray, why: str) -> Answer:
        """Individuals that no rank survives are as those whose simulator dies."""
        problem = self.evaluator.problem
        features = np.full((len(rows), len(problem.targets.terms)), np.nan)
        statuses = np.full((len(rows), len(problem.scored_stimuli)), Status.CRASHED, np.int8)
        return self._answer(Measured(features, statuses, why))

    def _answer(self, found: Measured) -> Answer:
        """What rank 0 is told: scores too, once it has told the units."""
        arrays = {"features": found.features, "statuses": found.statuses}
        head: dict[str, Any] = {"reason": found.reason, "unread": found.unread}
        if (terms := self._terms) is not None:
            found = found.scored(self.evaluator.problem, terms)
            assert found.contributions is not None
            arrays["contributions"], head["undefined"] = found.contributions, found.undefined
        return Answer(arrays, head)

    def cancel(self) -> None:
        """From another thread: what is measured is left, by an error."""
        self._cancelled = True
        self.engine.cancel()
        for pool in self._pools:
            pool.cancel()

    def _quantum(self) -> int:
        """Individuals that keep all threads busy, whole vectors of them."""
        stimuli = max(1, len(self.evaluator.problem.scored_stimuli))
        return self.engine.at_once * -(-cores(self.engine.settings) // stimuli)


@contextmanager
def shared(
    comm: Link | None,
    measuring: Measuring,
    plan: Plan,
    timeline: Timeline,
    on_evaluated: Callable[[int, int], Any] | None,
    on_block: OnBlock | None = None,
) -> Iterator[Evaluator | Scored]:
    """The evaluator of a run: the rank's own where it is alone, else one that deals to all ranks."""
    if comm is None:
        yield measuring.evaluator
        return
    problem = measuring.evaluator.problem
    stimuli = problem.scored_stimuli
    tell = on_evaluated or (lambda done, of: None)

    def worked(rank: int, began_s: float, answer: Answer) -> None:
        timeline.add(f"rank {rank}", "simulate", began_s, began_s + answer.seconds, "+".join(stimuli))
        if on_block:
            on_block(rank, len(answer.arrays["statuses"]), answer.head.get("clocks", {}))

    with Driver(comm, measuring.work(), plan, worked) as driver:
        told = False

        def measure(parameters: np.ndarray) -> Measured:
            nonlocal told
            if scored.terms is not None and not told:
                driver.tell({"units": np.array([term.sd for term in scored.terms])})
                told = True
            with timeline.doing("simulator", "simulate", "+".join(stimuli)):
                found = driver.map(parameters, lambda done, of: tell(done * len(stimuli), of * len(stimuli)))
            return _gathered(*found)

        scored = Scored(problem, measuring.engine, measure, timeline)
        yield scored


def _gathered(arrays: Mapping[str, np.ndarray], heads: Sequence[Mapping[str, Any]]) -> Measured:
    reason = next((head["reason"] for head in heads if head["reason"]), "")
    unread, undefined = (sum(head.get(name, 0) for head in heads) for name in ("unread", "undefined"))
    return Measured(arrays["features"], arrays["statuses"], reason, unread, arrays.get("contributions"), undefined)


@contextmanager
def _built(comm: Link, plan: Plan) -> Iterator[Work]:
    """The work of this rank, from what rank 0 has sent.

    Raises
    ------
    HpcfitError
        When it cannot be built here, or files that the fit names are not what rank 0 has read.
    """
    base = Path(plan["base"])
    settings = validate(FitSettings, plan["settings"], base, base)
    problem = Problem.of(settings)
    _check_same(plan["same"], _same(run_folder.header(problem, base)))
    problem = sized(problem, comm)
    engine = problem.settings.engine
    factory = simulator_factory(problem.cell, problem.stimuli, engine)
    with ExitStack() as stack:
        simulators = stack.enter_context(Processes({SERVICE: factory}, engine.workers))
        scorers = stack.enter_context(Processes({SCORER: problem.feature_factory()}, engine.workers))
        simulator = choose_simulator(NeuronEngine(factory, simulators)).engine
        if not isinstance(simulator, NeuronEngine):
            simulators.close()  # NEURON has built the cell; its process has no more to do
        timeline = Timeline()
        evaluator = Evaluator(problem, simulator, scorers, SideBySide(), timeline)
        yield Measuring(evaluator, simulator, (simulators, scorers), timeline).work(timeline)


def _same(header: Header) -> dict[str, str]:
    """What must be alike on all ranks: a hash for each file, and one each for settings and tables."""
    parts = {"the settings": header.settings, "the tables of parameters and score functions": header.tables}
    texts = {name: json.dumps(part, sort_keys=True, default=np.ndarray.tolist) for name, part in parts.items()}
    return {**header.inputs, **{name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}}


def _check_same(wanted: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raises InputError, naming the first that differs."""
    for name in [*wanted, *here]:
        if wanted.get(name) != here.get(name):
            raise InputError(
                f"{name}: not the same here as on rank 0; all ranks must see the same files and the same hpcfit: put "
                "both where every node reads them"
            )
