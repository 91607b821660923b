"""What must LFADS beat?  Baselines on the chaotic networks of both AutoLFADS papers: R2 against true rates, NLL.

    python benchmarks/lfads_baselines.py [--quick] [--gpfa]

No timing.  gamma 1.5: inputs of each condition (K22); 2.5: of each trial (K19).  --quick: a tenth of the trials;
--gpfa: GPFA too (extra gpfa).
"""

import argparse
import json

import numpy as np
from scipy.special import gammaln

from hpcfit.lfads.baselines import fit_baseline
from hpcfit.lfads.data.chaotic import chaotic_rnn
from hpcfit.lfads.settings import ChaoticRnnSettings
from hpcfit.lfads.training import r_squared

SETS = {1.5: "condition", 2.5: "trial"}
NAMES = ("mean", "smoothing", "pca", "psth", "factor_analysis")


def nll(rates: np.ndarray, counts: np.ndarray) -> float:
    """Poisson, nats per bin and neuron."""
    rates = np.maximum(rates, 1e-9)
    return float(np.mean(rates - counts * np.log(rates) + gammaln(counts + 1.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    parser.add_argument("--gpfa", action="store_true", help="GPFA too")
    asked = parser.parse_args()
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for gamma, per in SETS.items():
        conditions = 40 if asked.quick else 400
        session = chaotic_rnn(ChaoticRnnSettings(gamma=gamma, inputs_per=per, conditions=conditions))
        truth, counts = session.valid.truth, session.valid.recon
        assert truth is not None
        rows = {"true rates": {"r2": 1.0, "nll": nll(truth, counts)}}
        for name in (*NAMES, *(("gpfa",) if asked.gpfa else ())):
            fitted = fit_baseline(name, session)
            rates = fitted.rates(session.valid)
            rows[name] = {**fitted.chosen, "r2": r_squared(rates, truth), "nll": nll(rates, counts)}
        for name, row in rows.items():
            print(f"gamma {gamma:g}  {name:16} " + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
        figures[f"gamma {gamma:g}"] = rows
    best = max(row["r2"] for name, row in figures["gamma 1.5"].items() if name != "true rates")
    print(json.dumps({"claim": "best baseline R2 on gamma 1.5, to be beaten", "best": best, "sets": figures}))


if __name__ == "__main__":
    main()
