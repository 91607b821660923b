"""Is the batched engine's default mode nearer to the limit dt -> 0 than CVODE as BluePyOpt sets it, and what of `fast`?

    envs/local python benchmarks/accuracy.py [--quick] [--fit data/l5pc/fit.toml] [--models 24] [--seed 1]

Prints the table of `hpcfit accuracy` and, as its last line, the figures it answers with.  Whether a claim holds is in
the figures, not in the exit code.
"""

import argparse
import json
import sys
from pathlib import Path

from hpcfit.jobs import load
from hpcfit.jobs.accuracy import NEURON_DEFAULT, SCHEMES, Request, accuracy_table
from hpcfit.report.accuracy_table import print_accuracy

ROOT = Path(__file__).resolve().parents[1]
CVODE = next(scheme.name for scheme in SCHEMES if scheme.engine.get("integrator") == "cvode")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="4 models, 3 stimuli, NEURON and the three modes")
    parser.add_argument("--fit", type=Path, default=None)
    parser.add_argument("--models", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stimuli", default="", help="names, with commas")
    arguments = parser.parse_args()
    fit = arguments.fit or ROOT / "data" / "l5pc" / ("fit_small.toml" if arguments.quick else "fit.toml")
    models = arguments.models or (4 if arguments.quick else 24)
    stimuli = tuple(name for name in arguments.stimuli.split(",") if name)
    request = Request(models, arguments.seed, stimuli, quick=arguments.quick)
    table = accuracy_table(load(fit), request, say=lambda line: print(line, file=sys.stderr))
    print_accuracy(table, sys.stdout)
    print(json.dumps(figures(table)))


def figures(table) -> dict:
    """The claims, whether they hold, and the numbers they rest on."""
    rows = {row["name"]: row for row in table["schemes"]}
    modes = {name.partition("(mode ")[2].rstrip(")"): row for name, row in rows.items() if "(mode " in name}
    default, fast, cvode, first = modes["default"], modes["fast"], rows[CVODE], rows[NEURON_DEFAULT.name]
    return {
        "claim": "default mode's largest spike shift vs dt->0 limit is below CVODE's (BluePyOpt settings)",
        "holds": default["shift_ms"]["largest"] < cvode["shift_ms"]["largest"],
        "default_shift_ms": default["shift_ms"],
        "cvode_shift_ms": cvode["shift_ms"],
        "claim_fast": "fast mode's median spike shift and counts changed are below those of NEURON's default step",
        "holds_fast": fast["shift_ms"]["median"] < first["shift_ms"]["median"]
        and fast["counts_changed"] <= first["counts_changed"],
        "counts_changed": {name: row["counts_changed"] for name, row in rows.items()},
        "responses": table["reference"]["responses"],
        "features_sd_mean": {name: row["features_sd"]["mean"] for name, row in rows.items()},
        "times_cvode": {name: cvode["core_s_per_model_s"] / row["core_s_per_model_s"] for name, row in modes.items()},
        "times_neuron": {name: row["times_neuron"] for name, row in rows.items()},
        "reference_error_ms": table["reference"]["error_ms"],
        "models": table["models"],
        "machine": table["machine"],
    }


if __name__ == "__main__":
    main()
