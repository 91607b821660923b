"""How far is `hpcfit scale predict` from what happens?  Calibrated on pieces, compared with whole generations.

    python benchmarks/predict.py [--ranks 1,2,4,8] [--populations 256,640] [--fit data/l5pc/fit.toml]

The calibration times blocks of 16 and 64 individuals on all cores, scores, strategy, ledger, dealing and messages,
each alone (hpcfit scale calibrate).  What it is compared with is other points: medians of whole generations of
`mpiexec -n RANKS hpcfit fit`, all phases, ledger on disk, of those generations in which every rank worked.  More ranks
than cores share the cores; the model knows so.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GENERATIONS = 8
PATIENCE_S = 100.0


def with_population(fit: Path, population: int, folder: Path) -> Path:
    """A copy of the fit file whose every generation is so large, beside links to what lies beside the original."""
    for other in fit.parent.iterdir():
        if other != fit:
            (folder / other.name).symlink_to(other)
    text = re.sub(r"(?m)^(offspring)\s*=\s*\d+", rf"\1 = {population}", fit.read_text())
    text = re.sub(r"(?m)^(generations)\s*=\s*\d+", r"\1 = 1000", text)
    place = folder / fit.name
    place.write_text(text)
    return place


def measured(fit: Path, population: int, ranks: int) -> dict[str, object]:
    """Median seconds of a generation, and all of them."""
    from hpcfit.population.ledger import Ledger
    from hpcfit.population.timeline import read_timeline

    mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("no mpiexec: pip install 'hpcfit[mpich]'")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        file, run = with_population(fit, population, folder), folder / "run"
        command = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
        command += [sys.executable, "-m", "hpcfit.cli", "fit", str(file), "--run", str(run), "--timeline"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        times, ends = [], time.monotonic() + PATIENCE_S
        try:
            while len(times) < GENERATIONS and time.monotonic() < ends and process.poll() is None:
                time.sleep(0.5)
                if not (run / "ledger.h5").exists():
                    continue
                workers: dict[int, set[str]] = {}
                for event in read_timeline(run):
                    if event.who.startswith("rank ") or (ranks == 1 and event.who == "simulator"):
                        workers.setdefault(event.generation, set()).add(event.who)
                ledger = Ledger.open(run)
                whole = [g for g in range(2, len(ledger)) if len(workers.get(g, ())) == ranks]
                times = [ledger.read(number).timings_s["total"] for number in whole]
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        if len(times) < 3:
            sys.exit(f"{ranks} ranks: only {len(times)} generations in which all of them worked\n{err}")
    return {"median_s": statistics.median(times), "all_s": [round(one, 4) for one in times]}


def main() -> None:
    """Parse, calibrate, run, compare; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,2,4,8")
    parser.add_argument("--populations", default="256,640")
    parser.add_argument("--fit", type=Path, default=ROOT / "data" / "l5pc" / "fit.toml")
    parser.add_argument("--calibration", type=Path, help="made before; else it is measured now")
    given = parser.parse_args()
    from hpcfit.jobs.prediction import calibrate
    from hpcfit.run.prediction.calibration import read_calibration
    from hpcfit.run.prediction.model import Job, predict
    from hpcfit.run.processes import available_cores

    known = read_calibration(given.calibration) if given.calibration else calibrate(given.fit)
    cores = available_cores()
    points = []
    print(f"{'ranks':>5} {'population':>10} {'measured s':>10} {'predicted s':>11} {'error %':>8}  parts predicted")
    for ranks in (int(one) for one in given.ranks.split(",")):
        for population in (int(one) for one in given.populations.split(",")):
            found = predict(known, Job(ranks, population, per_node=ranks, cores=cores))
            real = measured(given.fit, population, ranks)
            middle_s = float(str(real["median_s"]))
            error = 100 * (found.total_s / middle_s - 1)
            parts = {name: round(float(one), 4) for name, one in found.parts_s.items()}
            print(
                f"{ranks:>5} {population:>10} {middle_s:>10.4f} {found.total_s:>11.4f} {error:>8.1f}  {parts}",
                flush=True,
            )
            point = {"ranks": ranks, "population": population, "predicted_s": round(float(found.total_s), 4)}
            points.append({**point, "error_percent": round(error, 1), **real})
    claim = "the model of a generation, calibrated on its pieces, against whole generations"
    worst = max(abs(one["error_percent"]) for one in points)
    known_as = known.model_dump(by_alias=True, mode="json")
    print(
        json.dumps(
            {"claim": claim, "worst_error_percent": worst, "cores": cores, "points": points, "calibration": known_as}
        )
    )


if __name__ == "__main__":
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    main()
