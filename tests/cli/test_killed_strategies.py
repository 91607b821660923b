"""Does a fit that is killed go on with the same numbers, whichever strategy moves it?

Two kinds here, one of them on islands, whose memories are the least like a genetic algorithm's; tests/evolve cuts runs
of every kind anywhere.
"""

import time
from pathlib import Path

import pytest

from hpcfit.population.ledger import Ledger, same_numbers

TABLE = "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }"
LENGTH = ("generations = 3", "generations = 10")


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        'kind = "ibea"\nobjectives = "stimuli"\nparents = 4\noffspring = 6\n'
        "islands = { count = 2, every = 2, migrants = 1 }",
        'kind = "cma_es"\npopulation = 6\nrestart_step = 0.25',
    ],
    ids=lambda table: table.split('"')[1],
)
def test_a_killed_fit_goes_on_with_the_same_numbers(tiny, hpcfit, started, table):
    file = tiny((TABLE, f"[strategy]\n{table}"), LENGTH)
    run, log = Path("run"), Path("run/log.txt")
    process, ends = started("fit", file, "--run", run), time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") >= 4):
        assert time.monotonic() < ends and process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert 4 <= len(Ledger.open(run)) < 10
    assert hpcfit("fit", file, "--run", run).code == 0
    assert hpcfit("fit", file, "--run", "whole").code == 0
    ledger = Ledger.open(run)
    assert len(ledger) == 10 and same_numbers(ledger, Ledger.open(Path("whole"))) == []
    assert list((run / "report").iterdir())
    if "islands" in table:
        assert ledger.read(9).arrays["island"].tolist() == [0, 0, 0, 1, 1, 1]
    if "cma_es" in table:
        assert ledger.read(9).arrays["survivor_counts"][3] >= 1  # across a restart
