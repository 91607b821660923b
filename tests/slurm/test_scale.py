"""Does `hpcfit scale` in an interactive allocation start its ranks with srun, over the nodes that there are?"""

import json
import sys
from pathlib import Path

CHANGES = (
    ("workers = 2", 'kind = "batched"\nworkers = 1'),
    ("parents = 4", "parents = 20"),
    ("offspring = 6", "offspring = 128"),
)
SALLOC = ("salloc", "--quiet", "--nodes=4", "--ntasks=8", "--time=10")
SCALE = (sys.executable, "-m", "hpcfit.cli", "scale", "strong")


def test_an_interactive_srun_scaling_run_on_four_nodes(slurm, tiny, tmp_path):
    file, out = tiny(*CHANGES), tmp_path / "study"
    sizes = ("--ranks", "1,4,8", "--generations", "6", "--repeats", "1", "--goal", "100", "--budget", "90")
    done = slurm(*SALLOC, *SCALE, file, *sizes, "--out", out)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert [(point["ranks"], point["nodes"]) for point in summary["points"]] == [(1, 1), (4, 2), (8, 4)]
    assert len({point["hash"] for point in summary["points"]}) == 1
    assert summary["environment"]["launcher"] == "srun"
    assert summary["environment"]["slurm"]["job_nodelist"] == "node[1-4]"
    timings = [json.loads(line) for line in (out / "timings.jsonl").read_text().splitlines()]
    hosts = [[one["host"] for one in timings if one["kind"] == "rank" and one["launch"] == n] for n in range(3)]
    assert [sorted(of_launch) for of_launch in hosts] == [
        *(["node1"], ["node1"] * 2 + ["node2"] * 2, [f"node{n}" for n in (1, 1, 2, 2, 3, 3, 4, 4)])
    ]


def test_more_ranks_than_tasks_is_one_line(slurm, tiny, tmp_path):
    done = slurm(*SALLOC, *SCALE, tiny(*CHANGES), "--ranks", "1,9", "--out", tmp_path / "study")
    assert done.returncode == 2 and done.stderr.count("hpcfit: ") == 1
    assert "--ranks asks for 9 ranks, but the SLURM job" in done.stderr and "8 tasks on 4 nodes" in done.stderr
    assert not Path(tmp_path / "study").exists()
