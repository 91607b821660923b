"""A run as arrays: shapes, the best individual, ties, an empty ledger, a run that grows meanwhile."""

from dataclasses import replace

import numpy as np
import pytest

from hpcfit.errors import LedgerError
from hpcfit.population.ledger import Generation, Header, Ledger
from hpcfit.report.run_view import open_run


def test_shapes_and_tables(make_run):
    view = open_run(make_run(generations=4, parameters=6, terms=12, n=20, mu=6))
    assert view.generations == 4
    assert view.evaluations == 85
    assert [len(scores) for scores in view.scores()] == [25, 20, 20, 20]
    assert view.stack("features").shape == (85, 12)
    assert view.stack("survivor_vectors").shape == (24, 6)
    assert np.bincount(view.stack("generation")).tolist() == [25, 20, 20, 20]
    assert np.array_equal(view.stack("scores"), np.concatenate(view.scores()))
    assert view.counts()["deadline"].tolist() == [0, 1, 0, 1]
    assert view.timings()["total"].tolist() == [10.0] * 4
    assert view.settings["name"] == "l5pc"


def test_best_is_the_lowest_of_all_generations(make_run):
    view = open_run(make_run())
    scores = view.stack("scores")
    row = int(np.argmin(scores))
    best = view.best
    assert best.score == scores.min() == view.best_scores()[-1]
    assert best.id == view.stack("ids")[row]
    assert best.generation == view.stack("generation")[row]
    assert np.array_equal(best.features, view.stack("features")[row], equal_nan=True)
    assert best.contributions.sum() == pytest.approx(best.score)
    assert list(best.parameters.values()) == view.stack("parameters")[row].tolist()
    assert list(best.parameters) == view.parameters["name"].tolist()


def test_running_best_never_rises(make_run):
    view = open_run(make_run())
    assert np.all(np.diff(view.best_scores()) <= 0)
    assert [scores.min() >= best for scores, best in zip(view.scores(), view.best_scores(), strict=True)] == [True] * 4


def test_of_equal_scores_the_first_made_is_best(tmp_path, make_header, make_generation):
    head = make_header(2, 3, 1)
    ledger = Ledger.create(tmp_path, head)
    for number in range(3):
        made = make_generation(number, head, 6, 2)
        scores = np.array([np.nan, 7.0, 5.0, 9.0, 5.0, 8.0])
        ids = np.array([5, 4, 3, 2, 1, 0]) + 10 * number
        ledger.append(replace(made, arrays=dict(made.arrays) | {"scores": scores, "ids": ids}))
    best = open_run(tmp_path).best
    assert (best.score, best.generation, best.id) == (5.0, 0, 1)


def test_no_generation_yet(make_run):
    view = open_run(make_run(generations=0))
    assert view.generations == 0
    assert view.scores() == []
    assert view.best_scores().shape == (0,)
    assert "0 generations" in repr(view)
    with pytest.raises(LedgerError, match="no generation has been finished yet"):
        _ = view.best
    with pytest.raises(LedgerError, match="no generation has been finished yet"):
        view.stack("scores")


def test_repr_says_how_good_it_is(make_run):
    text = repr(open_run(make_run()))
    assert "l5pc, 4 generations, 85 evaluations, 6 parameters, 12 score terms" in text
    assert "best score" in text


def test_unknown_array_names_those_there_are(make_run):
    with pytest.raises(LedgerError, match=r"no array genes; it has contributions, features"):
        open_run(make_run()).stack("genes")


def test_folder_without_ledger_or_of_another_kind(tmp_path):
    with pytest.raises(LedgerError, match="give the folder of a run"):
        open_run(tmp_path)
    Ledger.create(tmp_path, Header({}, {}, {}))
    with pytest.raises(LedgerError, match="no table parameters"):
        open_run(tmp_path)


def test_the_writer_may_merge_its_journal_while_we_read(make_run, make_generation):
    folder = make_run(generations=3)
    view = open_run(folder)
    before = view.stack("vectors")
    writer = Ledger.open(folder)
    # Two merges: after the first one the previous ledger does not yet hold the journal's files.
    for number in (3, 4):
        writer.merge()
        writer.append(make_generation(number, writer.header))
    writer.merge()
    assert not (folder / "journal" / "000001.h5").exists()
    assert np.array_equal(view.stack("vectors"), before)
    assert open_run(folder).generations == 5


def test_counts_that_only_some_generations_have(tmp_path, make_header, make_generation):
    head = make_header(1, 1, 1)
    ledger = Ledger.create(tmp_path, head)
    first = make_generation(0, head, 6, 2)
    ledger.append(Generation(0, first.arrays, {"evaluations": 6}, {}))
    ledger.append(make_generation(1, head, 6, 2))
    view = open_run(tmp_path)
    assert view.counts()["deadline"].tolist() == [0, 1]
    assert np.isnan(view.timings()["total"][0])
