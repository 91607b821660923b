"""Does the model of a generation obey what is known without it: bounds, limits, causes; is its input checked?"""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcfit.errors import ConfigError
from hpcfit.jobs.predicting import Question, rows_of
from hpcfit.run.prediction.calibration import Calibration, read_calibration, write_calibration
from hpcfit.run.prediction.messages import dealing_cost
from hpcfit.run.prediction.model import PARTS, Design, Job, predict

FREE = {"ask_row_s": 0, "tell_row_s": 0, "score_row_s": 0, "block_s": 0, "send_s": 0, "receive_s": 0, "byte_s": 0}


def machine(**changed) -> Calibration:
    """A machine where nothing but simulating takes time, less what is changed."""
    tables = {
        "kernel": {"row_s": 0.01, "workers": 2, "at_once": 8, "stimuli": 4},
        "rank_0": FREE,
        "network": {"latency_s": 0, "bandwidth_B_s": 1e15, "look_s": 0},
        "writer": {"generation_s": 0, "row_s": 0},
        "sizes": {"sent_B": 100, "features_B": 200, "contributions_B": 200},
    }
    for name, values in changed.items():
        tables[name] = {**tables[name], **values}
    return Calibration.model_validate(tables)


@settings(max_examples=40, deadline=None)
@given(ranks=st.integers(1, 20), quanta=st.integers(1, 30), queued=st.integers(1, 2))
def test_without_costs_only_simulating_and_uneven_blocks_take_time(ranks, quanta, queued):
    population = 8 * quanta
    found = predict(machine(), Job(ranks, population), Design(queued=queued))
    ideal_s = 0.01 * population / (2 * ranks)
    # Never quicker than perfect; never slower than one rank doing everything.
    assert ideal_s - 1e-9 <= found.total_s <= 0.01 * population / 2 + 1e-9
    assert found.total_s == pytest.approx(sum(found.parts_s.values()))
    assert set(found.parts_s) == set(PARTS) and found.parts_s["simulate"] == pytest.approx(ideal_s)


def test_with_many_blocks_each_the_weak_efficiency_of_a_free_machine_is_near_one():
    rows = rows_of(machine(), Question((1, 4, 64), per_node=2000))
    assert all(row.efficiency > 0.97 and row.bottleneck == "simulate" for row in rows)


def test_serial_work_at_rank_0_is_amdahls_law():
    costs = machine(rank_0={**FREE, "tell_row_s": 2e-4})
    (row,) = rows_of(costs, Question((64,), per_node=1600))
    alone_s, serial_s = 1600 * 0.005 + 1600 * 2e-4, 64 * 1600 * 2e-4
    assert row.efficiency == pytest.approx(alone_s / (8 + serial_s), rel=0.03)
    assert row.bottleneck == "evolve" and row.parts_s["evolve"] == pytest.approx(serial_s)


@pytest.mark.parametrize(
    ("cause", "part", "design"),
    [
        ({"writer": {"generation_s": 30, "row_s": 0}}, "write", Design()),
        ({"writer": {"generation_s": 30, "row_s": 0}}, "write", Design(write_beside=False)),
        ({"rank_0": {**FREE, "score_row_s": 1e-2}}, "score", Design(scores_at_ranks=False)),
        ({"rank_0": {**FREE, "send_s": 0.1, "receive_s": 0.1}}, "messages", Design()),
        ({"network": {"bandwidth_B_s": 1e5}}, "network", Design()),
        ({"kernel": {"row_s": 0.01, "rank_spread": 1.0}}, "uneven", Design()),
    ],
)
def test_the_bottleneck_is_named(cause, part, design):
    found = predict(machine(**cause), Job(16, 16 * 200), design)
    assert found.loss == part, found.parts_s


def test_writing_is_hidden_up_to_what_a_generation_takes():
    costs = machine(writer={"generation_s": 3.0, "row_s": 0})
    long, short = Job(1, 1600), Job(1, 160)  # 8 s and 0.8 s
    assert predict(costs, long).total_s == pytest.approx(8.0)
    assert predict(costs, long, Design(write_beside=False)).total_s == pytest.approx(11.0)
    assert predict(costs, short).total_s == pytest.approx(3.0)  # the writer's own pace


def test_a_straggling_rank_is_overtaken_by_dealing_its_block_again():
    """With one rank forty times slower than the others, a generation does not wait for it."""
    slow = machine(kernel={"row_s": 0.01, "rank_spread": 1.5})
    found = predict(slow, Job(8, 8 * 400))
    even_s = 400 * 0.005
    assert found.total_s < 6 * even_s


def test_more_ranks_than_cores_share_the_cores():
    costs = machine()
    alone, four = (predict(costs, Job(n, 1600, per_node=n, cores=2)).total_s for n in (1, 4))
    assert alone == pytest.approx(8.0) and 8.0 <= four < 9.0


def test_what_dealing_costs_rank_0_hardly_grows_with_the_number_of_ranks():
    """Of one block: with a thousand ranks it was once 33 ms."""
    import numpy as np

    few, many = (dealing_cost(ranks, 64, 16, {"features": np.zeros(4)}) for ranks in (16, 1024))
    assert many[1] > 3000 and many[0] / many[1] < 1e-3
    assert many[0] / many[1] < 20 * few[0] / few[1] + 1e-4


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "calibration.json"
    write_calibration(path, machine(network={"latency_s": 3e-6}))
    assert read_calibration(path) == machine(network={"latency_s": 3e-6})
    toml = tmp_path / "calibration.toml"
    tables = json.loads(path.read_text())
    lines = [f"{key} = {json.dumps(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name in ("kernel", "rank_0", "network", "writer", "sizes"):
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in tables[name].items())]
    toml.write_text("\n".join(lines))
    assert read_calibration(toml) == read_calibration(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t["kernel"].update(row_s=-1), r"kernel\.row_s = -1.*greater than 0"),
        (lambda t: t["kernel"].update(rows=1), r"unknown key kernel\.rows; did you mean row_s"),
        (lambda t: t.pop("writer"), "writer is missing"),
        (lambda t: t.update(schema=9), "schema = 9; this hpcfit reads 1"),
        (lambda t: t["network"].update(bandwidth_B_s=0), r"network\.bandwidth_B_s = 0"),
    ],
)
def test_a_wrong_calibration_is_one_clear_error(tmp_path, change, said):
    path = tmp_path / "calibration.json"
    write_calibration(path, machine())
    tables = json.loads(path.read_text())
    change(tables)
    path.write_text(json.dumps(tables))
    with pytest.raises(ConfigError, match=said):
        read_calibration(path)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (lambda: Question((0,)), "--nodes"),
        (lambda: Question(()), "--nodes"),
        (lambda: Question((1,), 5, 5), "one of them"),
        (lambda: Question((1,), slower=0.0), "--slower"),
        (lambda: rows_of(machine(), Question((1024,), per_node=100_000)), "the model follows up to"),
    ],
)
def test_a_question_that_means_nothing_is_refused(question, said):
    with pytest.raises(ConfigError, match=said):
        question()


def test_the_model_follows_a_thousand_nodes_and_a_million_individuals():
    (row,) = rows_of(machine(), Question((1024,), population=1_000_000))
    assert math.isclose(row.total_s, 1e6 * 0.01 / 2048, rel_tol=0.2)


def test_offspring_are_made_by_the_threads_that_there_are():
    costs = machine(rank_0={**FREE, "ask_row_s": 1e-4})
    job = Job(4, 100_000)
    one, two, given = (predict(costs, job, Design(ask_threads=n)).parts_s["evolve"] for n in (1, 2, 0))
    assert one == pytest.approx(10.0) and two == given == pytest.approx(6.5)
    assert predict(costs, Job(4, 16_000)).parts_s["evolve"] == pytest.approx(1.6), "one piece"
