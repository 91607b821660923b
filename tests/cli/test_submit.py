"""What does `hpcfit submit` write, and what does it refuse, where there is no SLURM?"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SITE = 'name = "mine"\ncores_per_node = 8\n'


@pytest.fixture(autouse=True)
def _no_slurm(monkeypatch, tmp_path):
    """Here: a PATH without its commands, and none of the user's own sites."""
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("bash", "sh", "sed", "cat"):
        (bare / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.delenv("HPCFIT_SITES", raising=False)


@pytest.fixture
def script(hpcfit, tiny, tmp_path):
    """script(lines of the site file, *options): the job script as text, valid in bash."""

    def make(lines: str = "", *options: object, name: str = "mine") -> str:
        if name == "mine":
            (tmp_path / "mine.toml").write_text(SITE + lines)
        ended = hpcfit("submit", tiny(), "--site", name, "--dry-run", *options)
        assert ended.code == 0, ended
        assert ended.err.endswith("note: there is no SLURM here, so the script was not compared with a cluster\n")
        checked = subprocess.run(["bash", "-n"], input=ended.out, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr
        assert not (tmp_path / "runs").exists()
        return ended.out

    return make


def asked(text: str) -> dict[str, str]:
    """The options of sbatch in a script."""
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH ")]
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def srun(text: str) -> dict[str, str]:
    """The options of srun in a script."""
    words = text.partition("\nsrun ")[2].partition(" \\\n")[0].split()
    return {key.removeprefix("--"): value for key, _, value in (word.partition("=") for word in words)}


def test_a_script(script, tmp_path):
    text = script("", "--nodes", 3, "--ranks-per-node", 2, "--time", "1-0")
    place = f"{tmp_path}/runs/tiny/slurm"
    numbers = {"ntasks": "6", "ntasks-per-node": "2", "cpus-per-task": "4"}
    shape = {"job-name": "tiny", "nodes": "3", **numbers, "time": "1-0", "exclusive": ""}
    end = {"signal": "USR1@120", "output": f"{place}/%x-%j.out", "open-mode": "append", "requeue": ""}
    assert asked(text) == shape | end
    assert srun(text) == {**numbers, "kill-on-bad-exit": "1", "cpu-bind": "cores"}
    for line in ("export HDF5_USE_FILE_LOCKING=FALSE", "export OMP_NUM_THREADS=1 OMP_PROC_BIND=false"):
        assert line in text.splitlines()
    assert f'{sys.executable} -m hpcfit.cli fit {tmp_path}/fit.toml --run "$run" "$@"' in text
    assert 'HPCFIT_CACHE="${HPCFIT_CACHE:-$HOME/.cache/hpcfit}"' in text


CHANGES = {  # a line of a site file -> what it changes in the script
    'partition = "p"': ("partition", "p"),
    'qos = "q"': ("qos", "q"),
    'constraint = "gpu&hbm80g"': ("constraint", "'gpu&hbm80g'"),
    'account = "m1"': ("account", "m1"),
    'time = "10"': ("time", "10"),
    'options = ["--licenses=scratch"]': ("licenses", "scratch"),
    "gpus_per_node = 4": ("gpus-per-node", "4"),
    "memory_GiB = 1.5": ("mem", "1536M"),
    "threads_per_core = 2": ("cpus-per-task", "16"),
    "ranks_per_node = 4": ("ntasks", "4"),
    "lead_s = 300": ("signal", "USR1@300"),
    'on_end = "chain"': ("no-requeue", ""),
}


@pytest.mark.parametrize("line", CHANGES)
def test_what_a_key_asks_for(script, line):
    key, value = CHANGES[line]
    before = asked(script())
    assert before.get(key) != value
    assert asked(script(line))[key] == value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('mpi = "pmix"', " --mpi=pmix "),
        ('modules = ["PrgEnv-gnu", "cray-mpich/8"]', "\nmodule load PrgEnv-gnu || exit 2\nmodule load cray-mpich/8 ||"),
        ('scratch = "$SCRATCH"', '"${HPCFIT_CACHE:-$SCRATCH/hpcfit/cache}"'),
        ('local_scratch = "$LOCAL"', 'if [ -d "$LOCAL" ]; then export TMPDIR="$LOCAL"; fi'),
        ("restarts_most = 7", "export HPCFIT_RESTARTS_MOST=7"),
        ('on_end = "chain"', "sbatch --parsable --dependency=afterany"),
    ],
)
def test_what_a_key_says_in_the_script(script, line, said):
    assert said not in script() and said in script(line)


def test_nodes_that_are_shared(script):
    assert "exclusive" not in asked(script("whole_nodes = false"))


def test_the_end_of_a_job(script):
    assert "scontrol requeue" in script() and "scontrol requeue" not in script('on_end = "none"')


@pytest.mark.parametrize(("around", "prefix"), [("job", "{0} srun "), ("rank", "\n    {0} hpcfit fit ")])
def test_an_environment(script, tmp_path, around, prefix):
    (tmp_path / "wrap").write_text("#!/bin/sh\n")
    (tmp_path / "wrap").chmod(0o755)
    text = script(f'environment = "./wrap"\nenvironment_around = "{around}"')
    assert prefix.format(tmp_path / "wrap") in text and " hpcfit fit " in text and sys.executable not in text


def test_an_environment_that_this_checkout_has(script):
    """By name; its wrapper loads its own modules."""
    text = script('environment = "local"\nmodules = ["python"]')
    assert "/envs/local srun " in text and "module load" not in text
    text = script('environment = "nowhere"\nmodules = ["python"]')
    assert sys.executable in text and "module load python" in text


def test_values_of_the_command_line_go_first(script):
    lines = 'partition = "p"\nqos = "q"\nconstraint = "c"\naccount = "a"\nmpi = "pmi2"\n'
    options = ["--partition", "P", "--qos", "Q", "--constraint", "C", "--account", "A", "--mpi", "pmix"]
    text = script(lines, *options)
    assert [asked(text)[key] for key in ("partition", "qos", "constraint", "account")] == ["P", "Q", "C", "A"]
    assert srun(text)["mpi"] == "pmix"


@pytest.mark.parametrize(
    "name", ["generic", "cori-haswell", "cori-knl", "cori-gpu", "perlmutter-cpu", "perlmutter-gpu"]
)
def test_shipped_sites_are_clean_shell(script, name, monkeypatch):
    text = script("", "--account", "m1_g", "--array", "run.seed=1-3%2", "--nodes", 2, name=name)
    assert asked(text)["array"] == "0-2%2"
    monkeypatch.undo()
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    command = ["shellcheck", "--exclude=SC2016", "-"]  # single quotes around what another shell is to expand
    checked = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "100%", "$HOME"])
def test_words_reach_the_fit_as_they_were_typed(hpcfit, tiny, tmp_path, name):
    """The script itself, run by bash with an srun that prints its words."""
    (tmp_path / "mine.toml").write_text(SITE)
    value = 'it\'s "$HOME" `x`'
    axes = ["--array", "run.seed=1,2", "--set", f"name={value}"]
    file = tiny()
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "bin" / "srun").chmod(0o755)
    for options in ([], axes):
        ended = hpcfit("submit", file, "--site", "mine", "--dry-run", "--run", tmp_path / name, *options)
        if options:
            assert ended.code == 2 and "name = " in ended.err  # no name: refused before any shell sees it
            ended = hpcfit("submit", file, "--site", "mine", "--dry-run", "--run", tmp_path / name, *options[:2])
            (tmp_path / name / "slurm").mkdir(parents=True)
            (tmp_path / name / "slurm" / "tasks.txt").write_text("a b\n'it'\"'\"'s 2' --set 'name=$HOME `x`'\n")
        environment = {"PATH": str(tmp_path / "bin"), "HOME": "/home", "SLURM_ARRAY_TASK_ID": "1"}
        ran = subprocess.run(["bash"], input=ended.out, text=True, capture_output=True, env=environment, check=False)
        words = ran.stdout.splitlines()
        assert ran.returncode == 0, ran.stderr
        rest = words[words.index("--run") + 1 :]
        folder = str(tmp_path / name)
        assert rest == ([f"{folder}/it's 2", "--set", "name=$HOME `x`"] if options else [folder])
        assert asked(ended.out)["output"].count("%") == 2 * name.count("%") + (3 if options else 2)


ARRAYS = {
    "no values": ("run.seed", "--array 'run.seed': write KEY=VALUE, for example --array run.seed=3"),
    "an unknown key": ("run.sed=1-3", "with --set run.sed=1: unknown key run.sed; did you mean seed?"),
    "a value it cannot have": ("run.seed=1,x", "with --set run.seed=x: run.seed = 'x': must be a whole number"),
    "values that contradict others": ("strategy.parents=1,2", "with --set strategy.parents=1: "),
    "an empty range": ("run.seed=8-1", "--array 'run.seed=8-1': 8-1 is empty; write the smaller number first"),
    "an empty value": ("run.seed=1,,2", "--array 'run.seed=1,,2': a value is empty"),
    "a value twice": ("run.seed=1-3,2", "--array 'run.seed=1-3,2': 2 is there twice"),
    "a bad throttle": ("run.seed=1-3%0", "--array 'run.seed=1-3%0': after % comes how many may run at once"),
    "an unknown stimulus": ("stimuli=step,stop", "--set stimuli=stop: there is no stimulus 'stop'; known: step"),
    "far too many": ("run.seed=1-999999", "--array 'run.seed=1-999999': 1-999999 is more than 100000 values"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_a_bad_array_is_one_line(hpcfit, tiny, tmp_path, case):
    text, said = ARRAYS[case]
    (tmp_path / "mine.toml").write_text(SITE)
    ended = hpcfit("submit", tiny(), "--site", "mine", "--dry-run", "--array", text)
    assert (ended.code, ended.out) == (2, "") and said in ended.err and ended.err.count("\n") == 1, ended
    assert not Path("runs").exists()


def test_arrays_of_several_keys(script):
    text = script("", "--array", "run.seed=1-2%3", "--array", "strategy.kind=mu_plus_lambda,ibea%2")
    assert asked(text)["array"] == "0-3%2"
    assert "\nsed" not in text and "tasks.txt" in text


def test_the_queue_of_a_user_has_a_limit(hpcfit, tiny, tmp_path):
    (tmp_path / "mine.toml").write_text(f"{SITE}array_most = 3\nqueued_most = 5\n")
    ended = hpcfit("submit", tiny(), "--site", "mine", "--dry-run", "--array", "run.seed=1-8")
    assert [line for line in ended.out.splitlines() if "--array=" in line and "#SBATCH" in line] == [
        "#SBATCH --array=0-2",
        "#SBATCH --array=0-1",
    ]
    assert "note: 3 runs are left for later" in ended.err
    assert "SLURM_ARRAY_TASK_ID + 1))" in ended.out and "SLURM_ARRAY_TASK_ID + 4))" in ended.out


def test_without_slurm_nothing_is_written(hpcfit, tiny, tmp_path):
    (tmp_path / "mine.toml").write_text(SITE)
    ended = hpcfit("submit", tiny(), "--site", "mine")
    assert (ended.code, ended.out) == (2, "") and not Path("runs").exists()
    assert ended.err.startswith("hpcfit: sinfo: not found; SLURM's commands are not on the PATH of this machine")


def test_other_refusals(hpcfit, tiny, tmp_path):
    (tmp_path / "mine.toml").write_text(f'{SITE}nodes_most = 2\nscratch = "{tmp_path}"\npurge_days = 9\n')
    file = tiny()

    def refused(*options: object) -> str:
        ended = hpcfit("submit", file, "--site", "mine", "--dry-run", *options)
        assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended
        return ended.err

    assert "--nodes 3: site mine has at most 2" in refused("--nodes", 3)
    assert f"{file}/run: cannot be written" in refused("--run", file / "run")
    assert "fit.toml with --set run.seed=x: run.seed = 'x'" in refused("--set", "run.seed=x")
    assert "no such file" in refused("--site", "./nowhere.toml")
    (tmp_path / "mine.toml").write_text(f'{SITE}environment = "./nothing"\n')
    assert "environment = './nothing'" in refused()
    (tmp_path / "ball.swc").unlink()
    assert "ball.swc" in refused()
    tiny()
    (tmp_path / "mine.toml").write_text(f'{SITE}scratch = "{tmp_path}"\npurge_days = 9\n')
    ended = hpcfit("submit", file, "--site", "mine", "--dry-run")
    assert f"note: {tmp_path}/runs/tiny lies on a scratch that is purged: copy it away within 9 days" in ended.err
