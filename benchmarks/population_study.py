"""What does a larger population buy on the demo's cell?  Figure 6 of Ladd et al. 2021, by `hpcfit study population`.

    envs/local python benchmarks/population_study.py [--quick] [--sizes 1000,5000,10000] [--evaluations N] [--seeds 1,2]
        [--folder STUDY] [--wall-clock SECONDS] [--mode fast] [--stimuli NAMES]

Every size gets the same number of evaluations, so a larger population has fewer generations.  The runs are run folders
in --folder and go on where they stopped: give the same command until it says that all are done.  Printed: the best
score of every run after each generation, the table of medians over the seeds, and last one JSON object.  A score
is a sum of weight * |feature - mean| / sd: 0 would be the means of the recordings.
"""

import argparse
import json
import platform
import tempfile
from pathlib import Path

from hpcfit.biophys import toml_text
from hpcfit.config import read_toml
from hpcfit.jobs.study import Request, StudyRun, compare, population_study, study_text, write_study

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run, or go on, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sizes 20, 40 and 80, 240 evaluations, one seed")
    parser.add_argument("--sizes", default="1000,5000,10000")
    parser.add_argument("--evaluations", type=int, default=50_000)
    parser.add_argument("--seeds", default="1")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--mode", choices=("default", "fast"), default="default", help="of the batched engine")
    parser.add_argument("--stimuli", default="", help="only these, with commas; default: all")
    parser.add_argument("--folder", type=Path, help="of the study; default: a temporary one")
    parser.add_argument("--wall-clock", type=float, help="seconds that this call may take")
    arguments = parser.parse_args()
    sizes = tuple(int(size) for size in ("20,40,80" if arguments.quick else arguments.sizes).split(","))
    seeds = (1,) if arguments.quick else tuple(int(seed) for seed in arguments.seeds.split(","))
    evaluations = 240 if arguments.quick else arguments.evaluations
    most = -(-evaluations // min(sizes))
    request = Request(sizes, most, seeds, evaluations, arguments.wall_clock)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        fit = smaller(arguments.fit, arguments.mode, arguments.stimuli, folder)
        folder, runs = population_study(fit, request, folder, say=lambda line: print(f"# {line}", flush=True))
        write_study(arguments.fit.stem, folder, runs, len(sizes) * len(seeds))
    report(arguments, request, runs)


def smaller(fit: Path, mode: str, stimuli: str, folder: Path) -> Path:
    """The fit file; or a copy in `folder` with this engine.mode and only these stimuli."""
    if mode == "default" and not stimuli:
        return fit
    tables, inputs = read_toml(fit), fit.resolve().parent
    names = [
        stimulus["name"] for stimulus in tables["stimuli"] if stimulus["name"] in stimuli.split(",") or not stimuli
    ]
    tables["stimuli"] = [stimulus for stimulus in tables["stimuli"] if stimulus["name"] in names]
    tables["targets"] = {
        name: target | {"recordings": str(inputs / target["recordings"])}
        for name, target in tables["targets"].items()
        if name in names
    }
    tables["cell"] |= {key: str(inputs / tables["cell"][key]) for key in ("morphology", "mechanisms")}
    tables["engine"]["mode"] = mode
    folder.mkdir(parents=True, exist_ok=True)
    changed = folder / f"{fit.stem}_smaller.toml"
    changed.write_text("\n".join(toml_text.pairs(tables)) + "\n", encoding="utf-8")
    return changed


def report(arguments: argparse.Namespace, request: Request, runs: list[StudyRun]) -> None:
    """Print the curves, the table, then the figures as JSON."""
    for run in runs:
        pairs = zip(run.evaluations, run.best, strict=True)
        print(f"size {run.size} seed {run.seed}: " + ", ".join(f"{done}: {best:.4g}" for done, best in pairs))
    wanted = len(request.sizes) * len(request.seeds)
    print(study_text(runs, wanted))
    comparison = compare(runs)
    figures = {
        "claim": "best score against population size, at equal generations and at equal evaluations",
        "workload": arguments.fit.stem,
        "mode": arguments.mode,
        "stimuli": arguments.stimuli or "all",
        "seeds": len(request.seeds),
        "runs_done": sum(run.done for run in runs),
        "runs_wanted": wanted,
        "generations": comparison.generations,
        "evaluations": comparison.evaluations,
        "sizes": {
            str(row["size"]): {
                "seeds": row["seeds"],
                "score_at_equal_generations": round(row["equal_generations_median"], 4),
                "score_at_equal_evaluations": round(row["equal_evaluations_median"], 4),
                "generations": row["generations"],
                "evaluations": row["evaluations"],
            }
            for row in comparison.rows
        },
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
