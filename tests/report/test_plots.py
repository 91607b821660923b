"""The figures hold the numbers of the run, at any number of parameters, terms, stimuli and sites."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.report import plots
from hpcfit.report.plots import feature_errors
from hpcfit.report.plots.parameter_ranges import bound_reached, last_survivors
from hpcfit.report.responses import read_responses
from hpcfit.report.run_view import open_run


def _labelled(axes, label):
    handles, labels = axes.get_legend_handles_labels()
    return handles[labels.index(label)]


def _texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_convergence_draws_best_median_and_failures(make_run):
    view = open_run(make_run())
    figure = plots.convergence(view)
    score, failed, undefined = figure.axes
    assert np.array_equal(_labelled(score, "best so far").get_ydata(), view.best_scores())
    medians = [np.median(scores) for scores in view.scores()]
    assert np.allclose(_labelled(score, "median of the generation").get_ydata(), medians)
    stacked = sum(np.array([bar.get_height() for bar in container]) for container in failed.containers)
    assert stacked.tolist() == (view.counts()["diverged"] + view.counts()["deadline"]).tolist()
    assert [bar.get_height() for bar in undefined.patches] == view.counts()["undefined_features"].tolist()


@pytest.mark.parametrize(("factor", "scale"), [(1.0, "linear"), (0.0, "linear"), (1e-3, "log")])
def test_log_axis_only_where_scores_span_decades(make_run, monkeypatch, factor, scale):
    view = open_run(make_run())
    spread = [scores * factor**number for number, scores in enumerate(view.scores())]
    monkeypatch.setattr(type(view), "scores", lambda _: spread)
    assert plots.convergence(view).axes[0].get_yscale() == scale


def test_traces_draw_model_recordings_current_and_window(make_run):
    folder = make_run(stimuli=3, sites=("soma", "dend"))
    view, responses = open_run(folder), read_responses(folder)
    figure = plots.traces(view, responses)
    assert len(figure.axes) == 6
    voltage, current = figure.axes[:2]
    assert voltage.get_title(loc="left") == "step_0"
    assert "3 sweeps" in voltage.get_title(loc="right")
    drawn = _labelled(voltage, "model, soma")
    assert np.array_equal(drawn.get_ydata(), responses[0].model_v_mV[0])
    assert drawn.get_xdata()[-1] == pytest.approx(299.9)
    recorded = _labelled(voltage, "recorded").get_segments()
    assert len(recorded) == 3
    assert np.allclose(recorded[1][:, 1], responses[0].recorded_v_mV[1])
    assert recorded[1][-1, 0] == pytest.approx(299.8)
    assert np.array_equal(current.lines[0].get_ydata(), responses[0].current_nA)
    assert "mV" in voltage.get_ylabel() and current.get_ylabel() == "nA" and "ms" in current.get_xlabel()
    assert drawn.get_color() != _labelled(voltage, "model, dend").get_color()


def test_traces_without_recordings_current_or_score(make_run):
    import h5py

    folder = make_run(stimuli=1)
    with h5py.File(folder / "best.h5", "w") as file:
        group = file.create_group("unscored")
        group["model_v_mV"] = np.full((1, 50), np.nan)
        group.attrs.update({"dt_ms": 0.1, "sites": ["soma"]})
    figure = plots.traces(open_run(folder), read_responses(folder))
    assert len(figure.axes) == 1
    assert figure.axes[0].get_title(loc="right") == "not scored"
    figure.canvas.draw()


@pytest.mark.parametrize("terms", [1, 12, 40, 160])
def test_features_draw_every_term_once(make_run, terms):
    view = open_run(make_run(terms=terms, stimuli=min(terms, 8), best=False))
    figure = plots.features(view)
    errors = feature_errors.deviations(view)
    inside = [dots for axes in figure.axes for dots in axes.collections if dots.get_gid() == "inside"]
    limit = feature_errors._axis_limit(errors)
    drawn = np.concatenate([np.asarray(dots.get_offsets())[:, 0] for dots in inside])
    assert np.allclose(np.sort(drawn), np.sort(errors[np.abs(errors) <= limit]))
    marks = [line.get_gid() for axes in figure.axes for line in axes.lines]
    assert marks.count("undefined") == np.isnan(errors).sum()
    assert marks.count("outside") == (np.abs(errors) > limit).sum()
    names = [f"AP_feature_{term}" for term in range(terms)]
    assert [text for text in _texts(figure) if text.startswith("AP_feature")] == names
    # Rows keep their room however many there are.
    rows = max(axes.get_ylim()[0] + 0.5 for axes in figure.axes)
    assert figure.get_size_inches()[1] >= rows * 0.18


def test_capped_and_undefined_features_say_so(make_run):
    view = open_run(make_run(terms=12))
    texts = _texts(plots.features(view))
    capped = feature_errors.deviations(view)[4]
    assert capped > 25
    assert f"{capped:+.3g}, counts as 25" in texts
    assert "undefined" in texts


@given(st.lists(st.integers(1, 130), min_size=1, max_size=40))
def test_columns_hold_every_term_once_in_order(sizes):
    row, groups, term = feature_errors._Row, [], 0
    for index, size in enumerate(sizes):
        groups.append([row(f"stimulus {index}"), *(row("x", "", term + i) for i in range(size))])
        term += size
    columns = feature_errors._columns(groups)
    assert [r.term for column in columns for r in column if r.term is not None] == list(range(term))
    assert all(column[0].term is None for column in columns)
    assert all(column[-1].term is not None for column in columns)
    assert max(len(column) for column in columns) <= 2 * feature_errors._MOST_ROWS


@pytest.mark.parametrize("parameters", [1, 6, 20, 45])
def test_parameters_draw_distributions_and_best(make_run, parameters):
    view = open_run(make_run(parameters=parameters, best=False))
    figure = plots.parameters(view)
    axes = figure.axes[0]
    marks = [line for a in figure.axes for line in a.lines if line.get_marker() == "D"]
    assert np.allclose([mark.get_xdata()[0] for mark in marks], view.best.vector)
    for offset, places in ((0, view.stack("vectors")), (1, last_survivors(view))):
        values, edges, base = axes.patches[offset].get_data()
        counts = np.histogram(places[:, 0], bins=edges)[0]
        assert np.allclose((base - values) * counts.max() / 0.66, counts)
    texts = _texts(figure)
    assert sum("(log)" in text for text in texts) == parameters // 3
    assert sum("/ S/cm2" in text for text in texts) == parameters - 1


def test_log_parameters_stand_where_their_logarithm_is(make_run):
    view = open_run(make_run(parameters=3))
    value, low, high = view.best.parameters["gbar_2.somatic"], 1e-5, 0.1
    marks = [line for line in plots.parameters(view).axes[0].lines if line.get_marker() == "D"]
    assert marks[2].get_xdata()[0] == pytest.approx(np.log(value / low) / np.log(high / low))


def test_bounds_reached():
    assert [bound_reached(place) for place in (0.0, 0.005, 0.5, 0.995, 1.0)] == ["lower", "lower", "", "upper", "upper"]


def test_drawing_changes_no_global_state_of_matplotlib(make_run):
    code = (
        "import sys, matplotlib\n"
        "before = {key: value for key, value in matplotlib.rcParams.copy().items() if key != 'backend'}\n"
        "from hpcfit.report.write import write_report\n"
        "write_report(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert all(matplotlib.rcParams[key] == value for key, value in before.items())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(make_run())], check=True)


def test_empty_best_file_is_no_response(make_run):
    import h5py

    folder = make_run(best=False)
    assert read_responses(folder) == ()
    h5py.File(folder / "best.h5", "w").close()
    assert read_responses(folder) == ()
