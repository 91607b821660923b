"""Does `hpcfit status` show a folder of runs, with or without a SLURM to ask?"""

from pathlib import Path

import hpcfit as package


def test_a_folder_of_runs(hpcfit, tiny, monkeypatch, tmp_path):
    file, folder = tiny(), Path("runs/many")
    best = [package.run(file, folder / name, generations=2).best.score for name in ("b", "a")]
    ended = hpcfit("status", folder)
    assert ended.code == 0 and ended.err == "", ended
    first, head, *rows = [line.split() for line in ended.out.splitlines()]
    assert " ".join(first) == "runs/many: 2 runs; 2 finished" and head[0] == "run"
    assert rows == [[name, "finished", "2", "of", "2", f"{best[0]:.6g}"] for name in ("a", "b")]

    # An array of three, as submit leaves it: the one that has not begun is shown too; nobody to ask for its job.
    (folder / "slurm" / "jobs").mkdir(parents=True)
    (folder / "slurm" / "tasks.txt").write_text("a --set run.seed=3\nc --set run.seed=4\nb --set run.seed=5\n")
    (folder / "slurm" / "jobs" / "17").write_text("0-2 0\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = hpcfit("status", folder)
    said = ended.out.splitlines()
    assert said[0] == "runs/many: 3 runs; 2 finished, 1 not begun"
    assert said[1].startswith("the state of its jobs is not known: squeue: not found")
    assert [line.split()[:2] for line in said[3:]] == [["a", "17_0"], ["c", "17_1"], ["b", "17_2"]]

    (folder / "slurm" / "tasks.txt").write_text("a --set 'run.seed=3\n")
    ended = hpcfit("status", folder)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert 'slurm/tasks.txt, line 1: "a --set \'run.seed=3" is no task' in ended.err


def test_a_single_run_that_has_not_begun(hpcfit, tmp_path, monkeypatch):
    (tmp_path / "run" / "slurm" / "jobs").mkdir(parents=True)
    (tmp_path / "run" / "slurm" / "jobs" / "17").write_text("\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = hpcfit("status", tmp_path / "run")
    assert ended.code == 0 and ended.out.startswith("job 17: the state of its jobs is not known: squeue: not found")
