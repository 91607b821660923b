"""Small models and small data for the tests of LFADS."""

import numpy as np
import pytest
import torch

from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.settings import ChaoticRnnSettings, DataSettings, LfadsSettings, ModelSettings

SMALL = {
    "generator": 6,
    "initial_condition": 4,
    "ic_encoder": 3,
    "factors": 4,
    "inferred_inputs": 2,
    "controller": 5,
    "controller_encoder": 3,
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_settings(**tables) -> LfadsSettings:
    """A small model; tables: model=dict(...), training=dict(...), ..."""
    model = ModelSettings.model_validate({**SMALL, **tables.pop("model", {})})
    data = DataSettings(chaotic_rnn=ChaoticRnnSettings())
    given = {"name": "small", "data": data.model_dump(), "model": model.model_dump(), **tables}
    return LfadsSettings.model_validate(given)


def small_session(trials: int = 7, steps: int = 8, neurons: int = 5, seen: tuple[int, int] | None = None) -> Session:
    """Poisson counts; seen: so many bins and neurons are encoded."""
    rng = np.random.default_rng(3)
    bins, units = seen or (steps, neurons)

    def some(number: int) -> Trials:
        counts = rng.poisson(0.6, (number, steps, neurons)).astype(np.float32)
        return Trials(counts[:, :bins, :units], counts)

    return Session(some(trials), some(3))


@pytest.fixture
def settings():
    return small_settings


@pytest.fixture
def session():
    return small_session
