"""Are compartments eliminated children first, in long runs of one class, with nothing lost?"""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.biophys.codegen.order import elimination_order, runs, trimmed
from hpcfit.biophys.codegen.structure import Placement, Reach, Structure


@st.composite
def trees(draw):
    """Parents, each before its children, and a class for every node; -1 is bare."""
    count = draw(st.integers(1, 40))
    parent = [-1, *(draw(st.integers(0, node - 1)) for node in range(1, count))]
    classes = draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count))
    return np.array(parent), classes


@given(trees())
def test_every_parent_comes_before_its_children(tree):
    parent, classes = tree
    order = elimination_order(parent, classes)
    assert sorted(order.tolist()) == list(range(len(parent))) and parent[order[0]] == -1
    place = np.argsort(order)
    children = np.flatnonzero(parent >= 0)
    assert np.all(place[parent[children]] < place[children])


@given(trees())
def test_runs_are_the_classes_from_the_last_node_to_the_first(tree):
    _, classes = tree
    found = runs(classes)
    assert [one for one, count in found for _ in range(count)] == classes[::-1]
    assert all(one != other for (one, _), (other, _) in itertools.pairwise(found))


def test_a_class_is_left_only_when_nothing_of_it_is_ready():
    """A trunk of class 0 with ten tips of class 1: two runs, not twenty."""
    parent = np.array([-1, *range(9), *range(10)])
    classes = [0] * 10 + [1] * 10
    order = elimination_order(parent, classes)
    assert runs([classes[node] for node in order]) == [(1, 10), (0, 10)]


def _structure(**changes):
    """Root, a branch point (bare), two segments behind it, each with a bare end."""
    nodes = 6
    base = {
        "parent": np.array([-1, 0, 1, 1, 2, 3]),
        "area_um2": np.arange(100.0, 100.0 + nodes),
        "cm_uF_cm2": np.ones(nodes),
        "resistance_MOhm": np.arange(1.0, 1.0 + nodes),
        "Ra_ohm_cm": np.full(nodes, 100.0),
        "membrane": np.array([True, False, True, True, False, False]),
        "mechanisms": {"pas": Placement(np.array([0, 2, 3]), {"g": np.array([1.0, 2.0, 3.0])})},
        "ions": {},
        "reaches": (Reach("Ra", "", "Ra", np.arange(nodes), np.arange(6.0), "uniform", None),),
        "sites": {"soma": 0},
        "globals_": {},
        "celsius": 34.0,
        "v_init_mV": -65.0,
        "diam_um": np.ones(nodes),
    }
    return Structure(**{**base, **changes})


def test_bare_ends_are_left_out_and_all_else_keeps_what_it_had():
    kept = trimmed(_structure())
    assert kept.parent.tolist() == [-1, 0, 1, 1]
    assert kept.area_um2.tolist() == [100, 101, 102, 103] and kept.resistance_MOhm.tolist() == [1, 2, 3, 4]
    assert kept.mechanisms["pas"].nodes.tolist() == [0, 2, 3]
    assert kept.reaches[0].nodes.tolist() == [0, 1, 2, 3] and kept.reaches[0].distance_um.tolist() == [0, 1, 2, 3]


def test_a_bare_end_with_a_site_stays():
    kept = trimmed(_structure(sites={"soma": 0, "tip": 5}))
    assert len(kept.parent) == 5 and kept.sites == {"soma": 0, "tip": 4}
    assert kept.area_um2[4] == 105 and kept.parent[4] == 3
