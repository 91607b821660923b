"""Which recurrences do settings get, and what is said where kernels cannot be built?"""

import pytest
import torch

from hpcfit.errors import ConfigError, EngineError
from hpcfit.lfads.kernels import build
from hpcfit.lfads.kernels.choice import recurrence_of
from hpcfit.lfads.kernels.recurrence import CompiledRecurrence
from hpcfit.lfads.recurrence import PlainRecurrence
from hpcfit.lfads.settings import ChaoticRnnSettings, DataSettings, LfadsSettings, TrainingSettings
from hpcfit.population import compiling


def settings(**training: str) -> LfadsSettings:
    data = DataSettings(chaotic_rnn=ChaoticRnnSettings())
    return LfadsSettings(
        name="choice", data=data, training=TrainingSettings.model_validate({"device": "cpu", **training})
    )


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HPCFIT_LFADS_TARGET", "core2")  # not built yet in this process
    compiling.compiler.cache_clear()
    yield
    compiling.compiler.cache_clear()
    build._kernels.cache_clear()


def test_kernels_are_taken_where_they_build(capsys):
    assert isinstance(recurrence_of(settings()), CompiledRecurrence)
    assert isinstance(recurrence_of(settings(kernels="compiled")), CompiledRecurrence)
    assert isinstance(recurrence_of(settings(kernels="plain")), PlainRecurrence)
    reduced = recurrence_of(settings(precision="bfloat16"))
    assert isinstance(reduced, CompiledRecurrence) and reduced.bfloat16
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("no_compiler")
def test_without_compiler_auto_goes_on_in_torch_and_says_so_once(capsys):
    assert isinstance(recurrence_of(settings()), PlainRecurrence)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no C++ compiler" in said and "plain torch" in said


@pytest.mark.usefixtures("no_compiler")
@pytest.mark.parametrize("asked", [{"kernels": "compiled"}, {"precision": "bfloat16"}], ids=str)
def test_without_compiler_what_needs_kernels_is_one_error(asked):
    with pytest.raises(EngineError, match=r"no C\+\+ compiler.*install one.*kernels = 'plain' needs none"):
        recurrence_of(settings(**asked))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kernels": "compiled", "device": "cuda"}, 'training.kernels = "compiled" with device = "cuda"'),
        ({"kernels": "plain", "precision": "bfloat16"}, 'training.precision = "bfloat16" needs the compiled kernels'),
        ({"device": "cuda", "precision": "bfloat16"}, 'training.precision = "bfloat16" needs the compiled kernels'),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(asked, said):
    with pytest.raises(ConfigError, match=said):
        recurrence_of(settings(**asked))


def test_kernels_exist_for_two_types_of_number():
    with pytest.raises(TypeError, match=r"no kernels for torch\.float16"):
        CompiledRecurrence(torch.float16)
    with pytest.raises(TypeError, match=r"no kernels for torch\.float64 with products in bfloat16"):
        CompiledRecurrence(torch.float64, bfloat16=True)
