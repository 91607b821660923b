"""Does the ReFrame test run hpcfit scale, pass, report its times, and fail where a reference says that it is slow?"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).resolve().parents[2] / "benchmarks" / "reframe"
REFRAME = shutil.which("reframe", path=str(Path(sys.executable).parent))
CHANGES = (("workers = 2", 'kind = "batched"\nworkers = 1'), ("parents = 4", "parents = 20"))


@pytest.mark.skipif(REFRAME is None, reason="no ReFrame here: pip install 'hpcfit[test]'")
@pytest.mark.parametrize(("reference_s", "code"), [(1000.0, 0), (1e-6, 1)])
def test_a_scaling_test_under_reframe(tiny, tmp_path, reference_s, code):
    options = "--generations 6 --repeats 1 --goal 100 --population 32"
    given = {"fit": tiny(*CHANGES), "budget": 60, "options": options, "reference_s": reference_s}
    settings = [f"--setvar={name}={value}" for name, value in given.items()]
    report = tmp_path / "report.json"
    command = [REFRAME, "--prefix", tmp_path / "reframe", "-c", CHECKS, "--run", "--name", "strong", *settings]
    done = subprocess.run(
        [str(word) for word in (*command, f"--report-file={report}")], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == code, done.stdout
    (found,) = json.loads(report.read_text())["runs"][0]["testcases"]
    assert found["result"] == ("fail" if code else "pass")
    assert found["fail_phase"] == ("performance" if code else None)
    assert "ranks_1_generation" in json.dumps(found["perfvalues"])
