"""Do the README's commands and its Python block work as they stand?"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from hpcfit.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_block_runs(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 1
    monkeypatch.chdir(ROOT)
    names: dict = {}
    exec(compile(blocks[0], "README.md", "exec"), names)
    assert names["parameters"].shape == (3, len(names["problem"].space.names))
    assert names["responses"].status.shape == (3, 8)
    assert np.max(names["voltage"]) > -60.0


def test_every_verb_it_names_exists_and_takes_those_options():
    commands = re.findall(r"^    envs/local hpcfit (.+?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
    assert len(commands) >= 5
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert {command.split()[0] for command in commands} <= known
    done = subprocess.run(
        [sys.executable, "-m", "hpcfit.cli", "import", "bluepyopt", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for option in re.findall(r"--\w+", next(command for command in commands if command.startswith("import"))):
        assert option in done.stdout


def test_the_files_it_links_to_exist():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    for name in re.findall(r"envs/local hpcfit (?:fit|check) (\S+\.toml)", README):
        assert (ROOT / name).exists(), name


def test_ci_runs_the_readmes_test_command():
    assert re.search(r"^    envs/local pytest\b", README, flags=re.MULTILINE)
    assert re.search(r"^envs/local pytest$", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
