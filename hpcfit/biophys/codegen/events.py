"""How do events reach point processes in generated code?

Events are the same in every lane, so an instance takes them one after another between its states and its currents, as
NEURON's fixed step does; an instance of another stimulus is passed over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hpcfit.biophys.codegen.expression_cpp import statements_cpp
from hpcfit.biophys.codegen.ir import Mechanism
from hpcfit.biophys.codegen.optimise import needed
from hpcfit.biophys.codegen.plan import NodeClass, Plan
from hpcfit.biophys.codegen.structure import Structure


def with_instances(structure: Structure, mechanisms: Mapping[str, Mechanism]) -> dict[str, Mechanism]:
    """The mechanisms by owner: density mechanisms as they are, point processes once for each owner."""
    owners = {instance.owner: instance.mechanism for instance in structure.instances}
    return {
        name: _instance(mechanisms[owners[name]], name) if name in owners else mechanisms[name]
        for name in structure.mechanisms
    }


def _instance(mechanism: Mechanism, owner: str) -> Mechanism:
    """One point process: its connection's arguments are variables of its own; what it sends is in its schedule."""
    sent = {name for send in mechanism.sends for name in (send.delay, send.flag)}
    lasting = {*mechanism.states, *mechanism.assigned, *mechanism.parameters, *mechanism.arguments}
    lasting |= {name for ion in mechanism.ions for name in (*ion.reads, *ion.writes)}
    return replace(
        mechanism,
        name=owner,
        family=mechanism.name,
        parameters={**mechanism.parameters, **dict.fromkeys(mechanism.arguments, 0.0)},
        assigned=(*mechanism.assigned, *mechanism.arguments),
        initial=needed(mechanism.initial, lasting - sent),
        receive=needed(mechanism.receive, lasting - sent),
    )


def ranks(plan: Plan) -> dict[tuple[str, int], int]:
    """The place in the schedule of each instance, by owner and node."""
    found: dict[tuple[str, int], int] = {}
    for group in plan.classes:
        for mechanism in group.mechanisms:
            if mechanism.kind == "point_process":
                found |= {(mechanism.name, int(node)): len(found) + k for k, node in enumerate(group.nodes)}
    return found


def event_tables(plan: Plan) -> Iterator[str]:
    """Constants that events.hpp needs."""
    yield f"constexpr int INSTANCES = {len(ranks(plan))};"


def guard(plan: Plan, group: NodeClass, mechanism: Mechanism) -> str:
    """What a mechanism's statements are put under: an instance acts only in its stimuli."""
    return f"if (block.events.acts({_place(plan, group, mechanism)})) " if mechanism.kind == "point_process" else ""


def _place(plan: Plan, group: NodeClass, mechanism: Mechanism) -> str:
    return f"{ranks(plan)[mechanism.name, int(group.nodes[0])]} + at.k"


def received_cpp(plan: Plan, group: NodeClass, mechanism: Mechanism, names: Mapping[str, str]) -> Iterator[str]:
    """NET_RECEIVE of an instance, for every event that is due."""
    if not mechanism.receive:
        return
    place = _place(plan, group, mechanism)
    yield f"while (block.events.due({place})) {{ // {mechanism.name}"
    yield f"const int64_t event = block.events.next[{place}]++;"
    yield "const V at_ms = c(R(block.events.schedule->time[event])); (void)at_ms;"
    yield "const V flag = c(R(block.events.schedule->flag[event])); (void)flag;"
    yield from statements_cpp(mechanism.receive, {**names, "t": "at_ms", "flag": "flag"}, set())
    yield "}"
