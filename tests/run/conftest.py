"""Executors over the services in services.py, which worker processes can import."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import services  # noqa: E402

from hpcfit.population.executor import Executor, Task  # noqa: E402
from hpcfit.run.processes import Processes  # noqa: E402
from hpcfit.run.serial import Serial  # noqa: E402

FACTORIES = {
    "bench": services.Bench,
    "counting": services.Counting,
    "slow": partial(services.slow_bench, 0.8),
    "fatal": services.fatal_bench,
    "refused": services.refused,
    "broken": services.broken,
}


@pytest.fixture(scope="session", autouse=True)
def importable() -> Iterator[None]:
    """Worker processes find services.py, and the package from wherever this test run has it."""
    with pytest.MonkeyPatch.context() as patch:
        given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        paths = [HERE, HERE.parents[1], *given]
        patch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(path) for path in paths))
        yield


@pytest.fixture
def task() -> Callable[..., Task]:
    """task("double", 3): a task of the bench; deadline_s and service by name."""

    def make(method: str, *arguments, service: str = "bench", deadline_s: float | None = None) -> Task:
        return Task(service, method, arguments, deadline_s)

    return make


@pytest.fixture
def processes() -> Iterator[Callable[..., Processes]]:
    """processes(2): worker processes that end with the test; more factories by name."""
    made = []

    def make(workers: int, on_done=None, **factories) -> Processes:
        made.append(Processes(FACTORIES | factories, workers, on_done))
        return made[-1]

    yield make
    for executor in made:
        executor.close()


@pytest.fixture(scope="session", params=["serial", 1, 2, 3], ids=lambda kind: f"{kind}")
def executor(request, importable) -> Iterator[Executor]:
    """Every executor there is."""
    made = Serial(FACTORIES) if request.param == "serial" else Processes(FACTORIES, request.param)
    yield made
    made.close()
