"""When does which event reach which point process, and before which step is it delivered?

NEURON's fixed step delivers, before the currents of the step from t to t + dt, every event up to t + dt / 2
(NetCvode::deliver_net_events); NET_RECEIVE finds the event's own time in `t`.  Events that a mechanism sends itself
(net_send) are known beforehand as long as neither their delay nor the branches around them depend on what differs
between individuals or comes out of the simulation: those parts of INITIAL and NET_RECEIVE are run here.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpcfit.biophys.codegen.algebra import assigned_in, names_in
from hpcfit.biophys.codegen.events import ranks
from hpcfit.biophys.codegen.interpret import evaluate
from hpcfit.biophys.codegen.ir import Assign, Mechanism, Statement
from hpcfit.biophys.codegen.plan import Plan
from hpcfit.biophys.codegen.structure import Instance
from hpcfit.biophys.stimulus import PointProcess, Stimulus
from hpcfit.errors import MechanismError

_MOST_AT_ONCE = 1000
"""Events at one moment, beyond which a mechanism that sends itself events without delay is taken to go on for ever."""

Known = dict[str, float]
"""Variables whose value is the same in all lanes, and is known before the simulation."""
Event = tuple[float, float]
"""Its time, ms, and its flag."""


@dataclass(frozen=True)
class Schedule:
    """Of one stimulus: active (instances,), first (instances + 1,); step, time_ms, flag (events,)."""

    active: np.ndarray
    first: np.ndarray
    step: np.ndarray
    time_ms: np.ndarray
    flag: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """In the order of struct Schedule in events.hpp."""
        return self.active, self.first, self.step, self.time_ms, self.flag


def make_schedule(plan: Plan, mechanisms: Mapping[str, Mechanism], stimulus: Stimulus, dt_ms: float) -> Schedule:
    """The schedule of one stimulus.  mechanisms: by their own name, as they were read.

    Raises
    ------
    MechanismError
        When an event that a mechanism sends itself depends on what is not known beforehand.
    """
    places = ranks(plan)
    events: list[list[Event]] = [[] for _ in places]
    active = np.zeros(len(places), dtype=np.int64)
    for instance in plan.structure.instances:
        if stimulus.name in instance.acts_in:
            point = stimulus.point_processes[instance.acts_in[stimulus.name]]
            place = places[instance.owner, instance.node]
            active[place] = 1
            values = _known(plan, mechanisms[instance.mechanism], instance, dt_ms)
            events[place] = expanded(mechanisms[instance.mechanism], values, point, stimulus.duration_ms)
    flat = [event for train in events for event in train]
    times, flags = (np.array([event[k] for event in flat], dtype=float) for k in range(2))
    first = np.cumsum([0, *(len(train) for train in events)]).astype(np.int64)
    return Schedule(active, first, delivery_step(times, stimulus.duration_ms, dt_ms), times, flags)


def delivery_step(times_ms: np.ndarray, duration_ms: float, dt_ms: float) -> np.ndarray:
    """(events,): before the currents of which step each event is delivered."""
    # NEURON adds up its time by half steps; an event on the edge falls to the side that this rounding decides.
    steps = int(np.ceil(duration_ms / dt_ms)) + 2
    halves = np.concatenate([[0.0], np.cumsum(np.full(2 * steps, 0.5 * dt_ms))])
    return np.searchsorted(halves[:-1:2] + 0.5 * dt_ms, times_ms, side="left").astype(np.int64)


def _known(plan: Plan, mechanism: Mechanism, instance: Instance, dt_ms: float) -> Known:
    """Constants and parameters that no free parameter reaches."""
    structure = plan.structure
    values: Known = {"dt": dt_ms, "t": 0.0, "celsius": structure.celsius, "area": structure.area_um2[instance.node]}
    for name, value in mechanism.constants.items():
        full = f"{name}_{mechanism.name}"
        if full not in plan.lane_globals:
            values[name] = structure.globals_.get(full, value)
    placement = structure.mechanisms[instance.owner]
    row = int(np.flatnonzero(placement.nodes == instance.node)[0])
    free = [reach for reach in structure.reaches if reach.value is None]
    for name in (*mechanism.parameters, *mechanism.arguments):
        lanes = any(instance.node in reach.nodes[reach.at(instance.owner, name)] for reach in free)
        if not lanes:
            value = mechanism.parameters.get(name, 0.0)
            values[name] = float(placement.parameters[name][row]) if name in placement.parameters else value
    return values


def expanded(mechanism: Mechanism, known: Mapping[str, float], point: PointProcess, duration_ms: float) -> list[Event]:
    """The events of a train and those that the mechanism sends itself, in the order of delivery.

    known: constants, parameters and the weight, where they are the same for every individual.
    """
    times = () if point.times_ms is None else point.times_ms
    queue = [(float(time), number, 0.0) for number, time in enumerate(times)]
    if not mechanism.sends:
        return [(time, flag) for time, _, flag in queue]
    # What changes from step to step cannot be known when an event comes.
    moving = assigned_in((*mechanism.advance, *mechanism.current)) | set(mechanism.states)
    variables: Known = {**{n: 0.0 for n in mechanism.assigned if n not in mechanism.parameters}, **known}
    done: list[Event] = []
    sent = _send(mechanism, mechanism.initial, variables, 0.0)
    _run(mechanism.receive_initial, variables)
    heapq.heapify(queue)
    count = len(queue)
    while True:
        for time, flag in sent:
            heapq.heappush(queue, (time, count, flag))
            count += 1
        while queue and queue[0][0] > duration_ms:
            heapq.heappop(queue)
        if not queue:
            return done
        time, _, flag = heapq.heappop(queue)
        done.append((time, flag))
        if len(done) > len(times) + _MOST_AT_ONCE and done[-_MOST_AT_ONCE][0] == time:
            raise MechanismError(
                f"{mechanism.source}, line {mechanism.sends[0].line}: net_send gives more than {_MOST_AT_ONCE} events "
                f"at {time:g} ms; mend its delay"
            )
        for name in moving:
            variables.pop(name, None)
        variables |= {"t": time, "flag": flag}
        sent = _send(mechanism, mechanism.receive, variables, time)


def _send(mechanism: Mechanism, statements: Sequence[Statement], variables: Known, now_ms: float) -> list[Event]:
    """Run the statements; the events that they send.  Changes `variables`."""
    for send in mechanism.sends:
        variables |= {send.delay: np.inf, send.flag: 0.0}
    _run(statements, variables)
    sent = []
    for send in mechanism.sends:
        if send.delay not in variables or (variables[send.delay] < np.inf and send.flag not in variables):
            raise MechanismError(
                f"{mechanism.source}, line {send.line}: when net_send sends what depends on the voltage, a state or a "
                "free parameter, which is not translated; let it depend on fixed parameters and on `t` alone"
            )
        if variables[send.delay] < np.inf:
            if not variables[send.delay] >= 0.0:
                raise MechanismError(
                    f"{mechanism.source}, line {send.line}: net_send with a delay of {variables[send.delay]:g} ms; "
                    "a delay cannot be negative"
                )
            sent.append((now_ms + variables[send.delay], variables[send.flag]))
    return sent


def _run(statements: Sequence[Statement], variables: Known) -> None:
    """Carry out what is known; a variable that is assigned something unknown is unknown from then on."""
    for statement in statements:
        if isinstance(statement, Assign):
            value = _value(statement.value, variables)
            if value is None:
                variables.pop(statement.target, None)
            else:
                variables[statement.target] = value
            continue
        test = _value(statement.test, variables)
        if test is not None:
            _run(statement.then if test else statement.otherwise, variables)
            continue
        then, otherwise = dict(variables), dict(variables)
        _run(statement.then, then)
        _run(statement.otherwise, otherwise)
        variables.clear()
        variables |= {name: value for name, value in then.items() if otherwise.get(name) == value}


def _value(expression, variables: Known) -> float | None:
    if not names_in(expression) <= set(variables):
        return None
    with np.errstate(all="ignore"):
        return float(evaluate(expression, dict(variables)))
