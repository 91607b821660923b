"""Strong, weak and problem scaling of the demo on the cores of this machine: `hpcfit scale`, kept as result files.

    python benchmarks/scaling.py --label epyc-zen5-2core_2026-11-22 [--budget 100] [--only strong] [--results FOLDER]

Strong: 256 individuals on 1 and 2 ranks.  Weak: 128 for each of 1 and 2 ranks.  Problem: 64 to 512 on one rank.  A rank
has one thread.  Timings are kept in runs/scaling/, so the same command goes on where its budget (s, of each study)
ended.  For each study it leaves scaling_STUDY_l5pc_LABEL: .txt (command, what it printed, the summary as JSON),
_timings.jsonl (every single time, with the environment of each launch), _time.png and _phases.png.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STUDIES = {
    "strong": ["--ranks", "1,2"],
    "weak": ["--ranks", "1,2", "--population", "128"],
    "problem": ["--population", "64,128,256,512"],
}
AGAIN = 75


def measure(study: str, budget: float) -> tuple[int, str]:
    """Its exit code, and the text of its result file."""
    words = ["scale", study, "data/l5pc/fit.toml", *STUDIES[study], "--out", f"runs/scaling/{study}"]
    command = [sys.executable, "-m", "hpcfit.cli", *words, "--budget", f"{budget:g}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, AGAIN):
        return done.returncode, ""
    summary = json.loads((place(study) / "summary.json").read_text(encoding="utf-8"))
    return done.returncode, f"# envs/local hpcfit {' '.join(words)}\n{done.stdout}{json.dumps(summary)}\n"


def place(study: str) -> Path:
    """The folder of a study."""
    return ROOT / "runs" / "scaling" / study


def main() -> int:
    """Measure what is asked for, and put it in its place."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--label", required=True, help="hardware and date")
    options.add_argument("--budget", type=float, default=100.0)
    options.add_argument("--only", choices=STUDIES)
    options.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    given, worst = options.parse_args(), 0
    for study in [given.only] if given.only else STUDIES:
        code, text = measure(study, given.budget)
        worst = max(worst, code)
        if not text:
            continue
        name = given.results / f"scaling_{study}_l5pc_{given.label}"
        name.with_name(f"{name.name}.txt").write_text(text, encoding="utf-8")
        shutil.copy(place(study) / "timings.jsonl", f"{name}_timings.jsonl")
        for figure in ("time", "phases"):
            shutil.copy(place(study) / "report" / f"{study}_{figure}.png", f"{name}_{figure}.png")
        print(text.partition("{")[0])
    return worst


if __name__ == "__main__":
    sys.exit(main())
