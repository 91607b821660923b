"""The report on disk: images that open, a page that needs nothing else, names that cannot break it."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest

from hpcfit.errors import LedgerError
from hpcfit.report.run_view import open_run
from hpcfit.report.write import write_report

EVIL = "<script>alert('x')</script>&\"name"


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.sources, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "data", "srcset", "action")]
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"generations": 1, "parameters": 1, "terms": 1, "stimuli": 1},
        {"terms": 40, "parameters": 20, "stimuli": 5, "generations": 5},
    ],
)
def test_report_files(make_run, kind):
    import matplotlib.image

    folder = make_run(**kind)
    paths = write_report(folder)
    expected = ["convergence.png", "traces.png", "features.png", "parameters.png", "report.html"]
    assert [path.name for path in paths] == expected
    assert sorted(path.name for path in (folder / "report").iterdir()) == sorted(expected)
    for path in paths[:-1]:
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 200
        assert image[..., :3].std() > 0.01


def test_page_is_self_contained(make_run):
    folder = make_run()
    paths = write_report(folder)
    text = paths[-1].read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert page.tags.count("img") == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?:|@import|url\(|<script|<link", text)
    inside = {base64.b64decode(source.split(",", 1)[1]) for source in page.sources}
    assert inside == {path.read_bytes() for path in paths[:-1]}


def test_page_says_the_numbers(make_run):
    folder = make_run()
    view, text = open_run(folder), write_report(folder)[-1].read_text(encoding="utf-8")
    assert f"{view.best.score:.6g} sd" in text
    assert f"{view.best_scores()[0] / view.best.score:.3g} times lower" in text
    for value in view.best.parameters.values():
        assert f"<td>{value:.5g}</td>" in text
    terms = re.findall(r'"left">(AP_feature_\d+)<', text.split('id="terms-table"')[1].split("</table>")[0])
    worst = np.argsort(-view.best.contributions, kind="stable")
    assert terms == [f"AP_feature_{term}" for term in worst]
    generations = text.split('id="generations-table"')[1].split("</table>")[0]
    assert "diverged" in generations and generations.count("<tr>") == 5
    assert "80.0 %" in text  # simulate takes 8 of 10 s


def test_names_are_escaped(make_run):
    text = write_report(make_run(name=EVIL))[-1].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text


def test_run_without_best_file(make_run):
    folder = make_run()
    write_report(folder)
    (folder / "best.h5").unlink()
    paths = write_report(folder)
    assert "traces.png" not in [path.name for path in paths]
    assert not (folder / "report" / "traces.png").exists()
    assert "No traces yet" in paths[-1].read_text(encoding="utf-8")


def test_empty_ledger_and_damaged_best_file(make_run):
    with pytest.raises(LedgerError, match="nothing to report; try again later"):
        write_report(make_run(generations=0))
    folder = make_run()
    (folder / "best.h5").write_bytes(b"no HDF5")
    with pytest.raises(LedgerError, match=r"best.h5: cannot be read"):
        write_report(folder)


def test_importing_the_report_loads_nothing_heavy():
    code = (
        "import sys, hpcfit.report.write, hpcfit.report.status, hpcfit.report.live, hpcfit.report.plots\n"
        "print([name for name in ('matplotlib', 'rich', 'jinja2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_traces_of_an_older_best_individual_are_not_drawn(make_run):
    """A run that is extended may find a better individual long before it writes best.h5 again."""
    run = make_run()
    best = open_run(run).best.id
    for member, drawn in ((best, True), (best + 1, False)):
        with h5py.File(run / "best.h5", "r+") as file:
            file.attrs["id"] = member
        write_report(run)
        assert (run / "report" / "traces.png").exists() is drawn
