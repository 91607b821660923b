"""Are site files read, found and refused as they should be, and time limits and ranges as SLURM writes them?"""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcfit.errors import ConfigError
from hpcfit.run.slurm.commands import indices, ranges
from hpcfit.run.slurm.limits import refused
from hpcfit.run.slurm.records import parts
from hpcfit.run.slurm.site import SHIPPED, Site, load_site
from hpcfit.run.slurm.times import UNLIMITED, seconds

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["cori-gpu", "cori-haswell", "cori-knl", "generic", "perlmutter-cpu", "perlmutter-gpu"]


def test_the_shipped_folder_is_that_of_the_checkout():
    assert SHIPPED.resolve() == ROOT / "slurm"
    assert sorted(path.stem for path in SHIPPED.glob("*.toml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_site_can_be_used(name, tmp_path):
    site, path = load_site(name, tmp_path)
    assert path == SHIPPED / f"{name}.toml" and site.name == name and site.about
    assert site.cores_per_node % site.ranks_per_node == 0
    for qos in ("", *site.limits):
        one, _ = load_site(name, tmp_path, {"qos": qos} if qos else None)
        most = one.limit("nodes_most") or 1
        account = [] if one.account_ends else list(refused(one, most))
        assert not [line for line in account if line.startswith("--nodes")]
        if one.limit("nodes_most"):
            assert any(line.startswith("--nodes") for line in refused(one, most + 1))


def test_limits_of_a_quality_of_service_go_first(tmp_path):
    debug, _ = load_site("perlmutter-gpu", tmp_path, {"qos": "debug", "account": "m1234", "time": "31"})
    assert [line.partition(":")[0] for line in refused(debug, 9)] == ["--nodes 9", "--time 31", "--account m1234"]
    assert "say m1234_g" in list(refused(debug, 9))[-1]
    regular, _ = load_site("perlmutter-gpu", tmp_path, {"account": "m1234_g", "time": "31"})
    assert list(refused(regular, 9)) == []


def write(path: Path, text: str = 'name = "mine"\ncores_per_node = 4\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_where_a_site_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HPCFIT_SITES", f"{tmp_path}/one:{tmp_path}/two")
    fit = tmp_path / "fit"
    fit.mkdir()
    own = write(tmp_path / "home" / ".config" / "hpcfit" / "sites" / "generic.toml")
    assert load_site("generic", fit)[1] == own
    for folder in ("two", "one", "fit"):
        path = write(tmp_path / folder / "generic.toml")
        assert load_site("generic", fit)[1] == path
    monkeypatch.chdir(tmp_path)
    assert load_site("./two/generic.toml", fit)[1] == tmp_path / "two" / "generic.toml"
    with pytest.raises(ConfigError, match=r"--site genric: there is no genric\.toml .*did you mean generic\?"):
        load_site("genric", fit)


BAD = {
    "misspelt key": ("core_per_node = 4", "unknown key core_per_node; did you mean cores_per_node?"),
    "missing key": ("", "cores_per_node is missing"),
    "bad time": ('cores_per_node = 4\ntime = "1 hour"', "time = '1 hour': must be minutes, minutes:seconds"),
    "more ranks than cores": (
        "cores_per_node = 4\nranks_per_node = 5",
        "ranks_per_node = 5 is more than cores_per_node",
    ),
    "no time to leave": ('cores_per_node = 4\ntime = "2"', "lead_s = 120 is not less than time = 2"),
    "two lines": ('cores_per_node = 4\npartition = "a\\n#SBATCH -p b"', "partition = "),
    "another on_end": ('cores_per_node = 4\non_end = "restart"', "on_end = 'restart': must be 'requeue', 'chain' or"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_site_file_is_one_line(case, tmp_path):
    text, said = BAD[case]
    path = write(tmp_path / "mine.toml", f'name = "mine"\n{text}\n')
    with pytest.raises(ConfigError) as error:
        load_site("mine", tmp_path)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value) and "\n" not in str(error.value)


def test_a_bad_value_of_the_command_line_is_not_the_files(tmp_path):
    path = write(tmp_path / "mine.toml")
    with pytest.raises(ConfigError, match=rf"^{path} with --time soon: time = 'soon': must be"):
        load_site("mine", tmp_path, {"time": "soon"})


@pytest.mark.parametrize(
    ("text", "expected"),  # the forms in sbatch's manual
    [
        ("30", 1800), ("1:30", 90), ("2:00:00", 7200), ("1-12", 129600), ("1-12:30", 131400), ("1-0:0:5", 86405),
        ("infinite", UNLIMITED), ("UNLIMITED", UNLIMITED),
    ],
)  # fmt: skip
def test_time_limits(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "1h", "1:2:3:4", "-5", "1-", "1.5"])
def test_what_is_no_time_limit(text):
    with pytest.raises(ConfigError, match="must be minutes"):
        seconds(text)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_ranges_and_numbers_are_the_same(numbers):
    assert indices(ranges(numbers)) == sorted(numbers)


def test_ranges_are_written_as_slurm_writes_them():
    assert ranges([5, 0, 1, 2, 7, 8]) == "0-2,5,7-8"


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(1, 50), st.none() | st.integers(1, 5))
def test_an_array_is_cut_so_that_every_task_is_in_one_part(numbers, size, most):
    cut = parts(sorted(numbers), size, most)
    assert sorted(part.offset + index for part in cut for index in part.indices) == sorted(numbers)
    assert all(0 <= index < size for part in cut for index in part.indices)
    assert {part.offset % size for part in cut} == {0} and {part.most for part in cut} == {most}


def test_what_docs_say_of_keys():
    """docs/slurm.md has a row for every key of a site file."""
    text = (ROOT / "docs" / "slurm.md").read_text()
    assert [key for key in Site.model_fields if f"`{key}`" not in text] == []
    for name in NAMES:
        assert f"`{name}`" in text
        tomllib.loads((SHIPPED / f"{name}.toml").read_text())
