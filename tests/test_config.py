"""Does the loader of settings files name the place, the value and the cure, count mistakes rightly, and freeze?"""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from hpcfit.config import InputPath, Settings, read_toml, validate
from hpcfit.errors import ConfigError


class Circle(Settings):
    shape: Literal["circle"]
    radius_um: Annotated[float, Field(gt=0)]


class Square(Settings):
    shape: Literal["square"]
    side_um: float
    corners: tuple[int, ...] = ()


def _shape(data: Any) -> str | None:
    shape = data.get("shape") if isinstance(data, dict) else data.shape
    return f"tag:{shape}" if shape in ("circle", "square") else None


Shape = Annotated[
    Annotated[Circle, Tag("tag:circle")] | Annotated[Square, Tag("tag:square")],
    Discriminator(_shape, custom_error_type="unknown_shape", custom_error_message="must be one of circle, square"),
]


class Inner(Settings):
    rate: float = 0.5
    gene_rate: float = 0.5
    exact: bool = False


class Drawing(Settings):
    name: Annotated[str, Field(pattern="^[a-z]+$")] = "drawing"
    paper: InputPath = Path("paper.svg")
    inner: Inner = Inner()
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1)]
    limits: tuple[float, float] = (0.0, 1.0)
    by_name: dict[str, Inner] = {}  # noqa: RUF012
    by_side: dict[Literal["left", "right"], Inner] = {}  # noqa: RUF012
    version: Literal[1] = Field(default=1, alias="schema")
    scale: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "Drawing":
        if self.limits[0] >= self.limits[1]:
            raise ValueError("limits are reversed; write [low, high]")
        return self


CIRCLE = {"shape": "circle", "radius_um": 2}


def load(folder: Path | None = None, **tables: Any) -> Drawing:
    return validate(Drawing, {"shapes": [CIRCLE], **tables}, "d.toml", folder)


def refusal(**tables: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(**tables)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"iner": {}}, "unknown key iner; did you mean inner?"),
        ({"inner": {"rates": 1}}, "unknown key inner.rates; did you mean rate?"),
        ({"inner": {"gene_rat": 1}}, "unknown key inner.gene_rat; did you mean gene_rate?"),
        ({"inner": {"zzz": 1}}, "unknown key inner.zzz; known here: exact, gene_rate, rate"),
        ({"by_name": {"x": {"rte": 1}}}, "unknown key by_name.x.rte; did you mean rate?"),
        ({"by_side": {"lft": {}}}, "unknown key by_side.lft; it must be 'left' or 'right'"),
        ({"schem": 1}, "unknown key schem; did you mean schema?"),
        ({"version": 1}, "unknown key version; known here:"),
        ({"shapes": [{"shape": "circle", "radus_um": 1}]}, "unknown key shapes[0].radus_um; did you mean radius_um?"),
        (
            {"shapes": [CIRCLE, {"shape": "square", "side_um": 1, "radius_um": 1}]},
            "unknown key shapes[1].radius_um; known",
        ),
        ({"inner": {"rate": "x"}}, "inner.rate = 'x': must be a number"),
        ({"inner": {"rate": True}}, "inner.rate = true: must not be true or false"),
        ({"inner": {"rate": [1]}}, "inner.rate: must be a number"),
        ({"inner": 3}, "inner = 3: must be a table"),
        ({"inner": {"exact": "x"}}, "inner.exact = 'x': must be true or false"),
        ({"limits": [1, 0]}, "limits are reversed; write [low, high]"),
        ({"limits": 1}, "limits = 1: must be a list"),
        ({"limits": [0]}, "limits[1] is missing; add it"),
        ({"name": "A B"}, "name = 'A B': must match pattern '^[a-z]+$'"),
        ({"name": 3}, "name = 3: must be text"),
        ({"name": "x" * 200}, None),
        ({"schema": 2}, "schema = 2: must be 1"),
        ({"scale": float("nan")}, "scale = nan: must be a finite number"),
        ({"paper": 3}, "paper = 3: must be a path, as text"),
        ({"shapes": []}, "shapes: must have at least 1 item"),
        ({"shapes": CIRCLE}, "shapes: must be a list of tables; write [[shapes]]"),
        ({"shapes": [{"shape": "oval"}]}, "shapes[0].shape = 'oval': must be one of circle, square"),
        ({"shapes": [{"radius_um": 1}]}, "shapes[0].shape: must be one of circle, square"),
        ({"shapes": [{"shape": "circle"}]}, "shapes[0].radius_um is missing; add it"),
        ({"shapes": [{"shape": "circle", "radius_um": 0}]}, "shapes[0].radius_um = 0: must be greater than 0"),
        (
            {"shapes": [{"shape": "square", "side_um": 1, "corners": [1, 2.5]}]},
            "shapes[0].corners[1] = 2.5: must be a whole",
        ),
    ],
)
def test_one_mistake_is_one_line_without_a_count(tables, line):
    if line is None:
        assert load(**tables).name == tables["name"]
        return
    said = refusal(**tables)
    assert said.startswith(f"d.toml: {line}") and "more)" not in said


@pytest.mark.parametrize(
    ("tables", "count"),
    [
        ({"name": "A", "schema": 2}, 1),
        ({"limits": ["a", "b"]}, 1),
        ({"shapes": [{"shape": "circle", "radus_um": 1}, {"shape": "oval"}]}, 1),
        (
            {"shapes": [{"shape": "circle", "zzz": 1}]},
            1,
        ),  # unknown, and radius_um is missing: nothing says it is the same
        ({"iner": {}, "nme": "a", "limit": 2, "inner": {"rate": "x"}}, 3),
    ],
)
def test_several_mistakes_are_counted(tables, count):
    assert refusal(**tables).endswith(f" (and {count} more)")


def test_an_unknown_key_comes_before_what_stands_above_it():
    assert refusal(name="A", zzz=1).startswith("d.toml: unknown key zzz; known here: by_name, by_side, ")


def test_long_values_are_cut():
    said = refusal(inner={"rate": "x" * 500})
    assert "xxx...: must be a number" in said and len(said) < 140


def test_settings_are_frozen_with_their_values():
    drawing = load(schema=1, inner={"rate": 1}, shapes=[CIRCLE, {"shape": "square", "side_um": 3, "corners": [1, 2]}])
    assert (drawing.version, drawing.inner.rate, drawing.inner.gene_rate) == (1, 1.0, 0.5)
    assert drawing.shapes == (Circle(shape="circle", radius_um=2), Square(shape="square", side_um=3, corners=(1, 2)))
    with pytest.raises(ValidationError, match="frozen"):
        drawing.name = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        drawing.inner.rate = 0.1  # type: ignore[misc]


def test_paths_start_at_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert load(tmp_path, paper="in/p.svg").paper == tmp_path / "in" / "p.svg"
    assert load(tmp_path / "sub", paper="../p.svg").paper == tmp_path / "p.svg"
    assert load(tmp_path, paper="/p.svg").paper == Path("/p.svg")
    assert load(paper="p.svg").paper == Path("p.svg")


def test_reading(tmp_path):
    file = tmp_path / "d.toml"
    file.write_text('name = "a"\n[inner]\nrate = 0.25\n')
    assert read_toml(file) == {"name": "a", "inner": {"rate": 0.25}}
    with pytest.raises(ConfigError, match=r"none\.toml: no such file; give the path"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=f"^{tmp_path}: cannot be read: "):
        read_toml(tmp_path)
    file.write_text('name = "a"\n[inner]\nrate = = 1\n')
    with pytest.raises(ConfigError, match=r"d\.toml: not valid TOML: .*line 3"):
        read_toml(file)
    file.write_text('name = "a"\nname = "b"\n')
    with pytest.raises(ConfigError, match=r"d\.toml: not valid TOML: .*line 2"):
        read_toml(file)
    file.write_bytes(b'name = "\xff"\n')
    with pytest.raises(ConfigError, match=r"d\.toml: cannot be read: "):
        read_toml(file)
