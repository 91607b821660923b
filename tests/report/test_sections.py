"""What an analysis leaves on disk, in the report, and on its figures."""

import csv
import json

import h5py
import numpy as np
import pytest

from hpcfit.errors import LedgerError
from hpcfit.report.html import html_study
from hpcfit.report.plots.fitted_and_held_out import generalisation_figure
from hpcfit.report.plots.pareto_front import pareto_figure
from hpcfit.report.plots.population_size import Curve, scores_by_size, traces_by_size
from hpcfit.report.plots.sensitivity_map import sensitivity_figure
from hpcfit.report.plots.stiff_and_sloppy import correlation_figure, curvature_figure, profile_figure
from hpcfit.report.plots.style import new_figure
from hpcfit.report.responses import read_responses
from hpcfit.report.sections import Section, read_sections, write_section
from hpcfit.report.write import analysis_folder, write_report


def section(**changes) -> Section:
    parts = {
        "name": "thing",
        "title": "A <thing>",
        "lines": ["said & done"],
        "tables": {"rows": {"name": ["a", "b"], "value": np.array([0.1234567, np.nan])}},
        "figures": {"drawn": new_figure(2, 1)},
        "arrays": {"name": np.array(["a", "b"]), "value": np.arange(6.0).reshape(2, 3)},
        "generations": 4,
    }
    return Section(**(parts | changes))


def test_a_section_becomes_csv_hdf5_figures_and_is_read_back(tmp_path):
    paths = write_section(tmp_path / "analysis", section())
    names = ["thing_drawn.png", "thing_drawn.svg", "thing_rows.csv", "thing.h5", "thing.json"]
    assert [path.name for path in paths] == names and sorted(names) == sorted(p.name for p in paths[0].parent.iterdir())
    with open(tmp_path / "analysis" / "thing_rows.csv") as file:
        rows = list(csv.reader(file))
    assert rows == [["name", "value"], ["a", "0.1234567"], ["b", "nan"]]
    with h5py.File(tmp_path / "analysis" / "thing.h5") as file:
        assert file["name"].asstr()[()].tolist() == ["a", "b"] and file["value"][()].tolist() == [[0, 1, 2], [3, 4, 5]]
    (stored,) = read_sections(tmp_path / "analysis")
    assert (stored.title, stored.lines, stored.generations) == ("A <thing>", ("said & done",), 4)
    assert stored.tables[0]["rows"] == [["a", "0.1235"], ["b", ""]] and list(stored.images) == ["thing-drawn"]


def test_a_long_table_is_shown_in_part_and_kept_whole(tmp_path):
    write_section(tmp_path, section(tables={"rows": {"value": np.arange(100)}}, figures={}))
    (stored,) = read_sections(tmp_path)
    assert len(stored.tables[0]["rows"]) == 40 and "40 of 100 rows; all in thing_rows.csv" in stored.tables[0]["note"]
    assert len((tmp_path / "thing_rows.csv").read_text().splitlines()) == 101


def test_the_report_has_the_section_and_says_when_it_is_old(make_run):
    folder = make_run(generations=4)
    assert "thing" not in write_report(folder)[-1].read_text()
    write_section(analysis_folder(folder), section())
    page = write_report(folder)[-1].read_text()
    assert "A &lt;thing&gt;" in page and "said &amp; done" in page and 'id="thing-drawn"' in page
    assert "Made when" not in page
    write_section(analysis_folder(folder), section(generations=3))
    assert "Made when the run had 3 generations; it has 4 now." in write_report(folder)[-1].read_text()


def test_a_damaged_section_is_named(make_run):
    folder = make_run()
    write_section(analysis_folder(folder), section())
    (analysis_folder(folder) / "thing.json").write_text("{")
    with pytest.raises(LedgerError, match=r"thing\.json: cannot be read .* remove it"):
        write_report(folder)
    (analysis_folder(folder) / "thing.json").write_text(json.dumps({"title": "no more"}))
    with pytest.raises(LedgerError, match=r"thing\.json"):
        write_report(folder)


def test_a_study_has_a_page_of_its_own(tmp_path):
    write_section(tmp_path, section())
    page = html_study("many <fits>", tmp_path, read_sections(tmp_path))
    assert page.startswith("<!DOCTYPE html>") and "many &lt;fits&gt;" in page and "said &amp; done" in page


def lines_of(axes):
    return [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]


def test_population_figure_draws_every_run_and_the_medians():
    curves = [
        Curve(size, seed, np.arange(1, 4) * size, 100.0 / size - np.arange(3)) for size in (4, 8) for seed in (1, 2)
    ]
    names = [
        f"equal_{kind}_{part}" for kind in ("generations", "evaluations") for part in ("median", "least", "greatest")
    ]
    rows = [{"size": size} | dict(zip(names, (5, 4, 7, 6, 5, 9), strict=True)) for size in (4, 8)]
    figure = scores_by_size(curves, rows, (3, 12))
    by_generation, by_evaluation, by_size = figure.axes
    assert all(any(np.array_equal(curve.best, line) for line in lines_of(by_generation)) for curve in curves)
    drawn = [line for line in by_evaluation.lines if len(line.get_xdata()) == 3]
    assert [line.get_xdata().tolist() for line in drawn] == [curve.evaluations.tolist() for curve in curves]
    middles = [container.lines[0].get_ydata().tolist() for container in by_size.containers]
    assert middles == [[5, 5], [6, 6]]
    assert len(by_generation.get_legend().get_texts()) == 2


def test_traces_of_all_sizes_share_the_voltage_axis_of_a_stimulus(make_run):
    responses = read_responses(make_run(stimuli=2))
    higher = [type(one)(**(vars(one) | {"model_v_mV": one.model_v_mV + 50})) for one in responses]
    figure = traces_by_size([("4", responses), ("8", higher), ("16", responses[:1])])
    assert len(figure.axes) == 6
    assert figure.axes[0].get_ylim() == figure.axes[2].get_ylim() != (0, 1)
    assert np.array_equal(figure.axes[2].lines[-1].get_ydata(), responses[0].model_v_mV[0] + 50)
    figure.canvas.draw()


def test_pareto_figure_draws_the_best_the_front_and_the_least():
    errors = np.array([[1.0, 50.0], [40.0, 2.0], [41.0, 51.0]])
    figure = pareto_figure(["low", "high"], errors, np.array([0, 1]), errors.min(axis=0))
    drawn = lines_of(figure.axes[0])
    assert sum(np.array_equal(line, errors[0]) for line in drawn) == 3  # among the good, on the front, and as the best
    assert any(np.array_equal(line, [1.0, 2.0]) for line in drawn)
    assert figure.axes[0].get_yscale() == "log"


def test_figures_of_directions_and_correlations_hold_their_numbers():
    vectors, ranks = np.linalg.qr(np.random.default_rng(0).random((3, 3)))[0], np.array([[1, -0.5], [-0.5, np.nan]])
    figure = curvature_figure(np.array([9, 1, 0.0]), vectors, ["a", "b", "c"], np.ones((2, 3)), (0.1, 0.2))
    assert np.allclose(figure.axes[1].images[0].get_array(), vectors)
    assert lines_of(figure.axes[0])[-1][:2].tolist() == [9, 1]
    figure = correlation_figure(ranks, ["a", "b"], 7)
    shown = figure.axes[0].images[0].get_array()
    assert shown[0].tolist() == [1, -0.5] and bool(shown.mask[1, 1])
    curve = {"distance": np.arange(3.0), "score": np.array([2, 1, 2.0]), "predicted_score": np.array([3, 1, 3.0])}
    figure = profile_figure(
        {"stiffest": curve, "sloppiest": curve | {"score": np.full(3, 9.0)}},
        dict.fromkeys(["stiffest", "sloppiest"], "+1 a"),
    )
    assert [axes.lines[1].get_ydata().tolist() for axes in figure.axes] == [[2, 1, 2], [9, 9, 9]]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_sensitivity_map_splits_many_features_and_marks_undefined():
    extents, undefined = np.random.default_rng(0).random((100, 2)) * 50, np.zeros((100, 2))
    undefined[99, 1] = 0.5
    figure = sensitivity_figure([f"f{i}" for i in range(100)], ["a", "b"], extents, undefined)
    blocks = [axes for axes in figure.axes if axes.images]
    assert np.allclose(np.concatenate([axes.images[0].get_array() for axes in blocks]), np.maximum(extents, 0.1))
    marks = [collection.get_offsets().tolist() for axes in blocks for collection in axes.collections]
    assert [len(mark) for mark in marks] == [0, 0, 1] and marks[2][0] == [1, 32]


def test_generalisation_figure_draws_each_error_and_each_individual():
    seen, unseen = np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([[4.0], [5.0]])
    figure = generalisation_figure({"low": seen[0]}, {"new": unseen[0]}, seen, unseen)
    errors = lines_of(figure.axes[0])
    assert any(np.array_equal(line, [1, 3]) for line in errors) and any(np.array_equal(line, [4]) for line in errors)
    assert figure.axes[1].lines[0].get_xdata().tolist() == [2, 2] and lines_of(figure.axes[1])[0].tolist() == [4, 5]
