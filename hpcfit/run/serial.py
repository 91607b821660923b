"""Executor in this very process: no deadline can be kept, but a debugger can step into a task."""

from collections.abc import Sequence
from typing import Any

from hpcfit.population.executor import Factories, Outcome, Task
from hpcfit.run.worker import build, carry_out


class Serial:
    """Carries out tasks one after another, here."""

    def __init__(self, factories: Factories) -> None:
        self._factories = factories
        self._services: dict[str, Any] = {}

    def map(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Outcomes in the order of the tasks.  See Executor.map."""
        outcomes = []
        for task in tasks:
            if task.service not in self._services:
                self._services[task.service] = build(self._factories, task.service)
            outcomes.append(carry_out(task, self._services[task.service]))
        return outcomes

    def cancel(self) -> None:
        """What is done in this very process is finished.  See Executor.cancel."""

    def close(self) -> None:
        """Forget the services."""
        self._services.clear()
