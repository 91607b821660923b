"""What did IPFX give for our synthetic traces?  Writes tests/golden/ipfx.json, which test_ipfx.py compares with.

pip install --no-deps ipfx && pip install pandas        # IPFX 2.1.2 was used, with scipy 1.17 and pandas 3.1
PYTHONPATH=. python tests/biophys/ipfx_goldens.py
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ipfx.json"
STIMULUS_NA = -0.2
# kind, seed, samples, dt_ms, window_ms, settings
CASES = (
    *((kind, 40 + n, 3000, 0.1, (120.0, 250.0), {}) for n, kind in enumerate(("spikes", "bursts", "block", "noise"))),
    *((kind, 50 + n, 3000, 0.1, (120.0, 250.0), {}) for n, kind in enumerate(("sag", "sag", "silent", "outside"))),
    *(("bursts", 60 + n, 7000, 0.025, (20.0, 160.0), {"baseline_interval": 0.015}) for n in range(3)),
    *(("spikes", 70 + n, 15000, 0.01, (20.0, 120.0), {"filter": 5.0, "burst_tol": 5.0}) for n in range(2)),
    ("spikes", 80, 500, 0.3, (20.0, 120.0), {"min_peak": -50.0, "min_height": 10.0, "max_interval": 0.001}),
    ("bursts", 81, 3000, 0.05, (20.0, 120.0), {"dv_cutoff": 10.0, "thresh_frac": 0.1, "pause_cost": 0.1}),
    ("quantised", 82, 3000, 0.05, (20.0, 120.0), {"reject_at_stim_start_interval": 0.02, "filter": 0.0}),
    ("hump", 86, 3000, 0.1, (120.0, 250.0), {}),
    ("hump", 87, 7000, 0.025, (20.0, 160.0), {"baseline_interval": 0.015}),
    *(("bursts", seed, 3000, 0.1, (20.0, 290.0), {}) for seed in (102, 110, 129, 141, 144)),
    ("constant", 83, 3000, 0.1, (120.0, 250.0), {}),
    ("spikes", 84, 10, 0.1, (0.1, 0.9), {}),
    ("spikes", 85, 1, 0.1, (0.0, 1.0), {}),
)


def main() -> None:
    from synthetic_traces import synthetic

    from hpcfit.biophys.extract import feature_names
    from hpcfit.biophys.ipfx_backend import lists_by_ipfx

    found = []
    for kind, seed, count, dt_ms, window_ms, settings in CASES:
        v_mV = synthetic(np.random.default_rng(seed), kind, count, dt_ms, window_ms)
        t_ms = np.arange(count) * dt_ms
        values = lists_by_ipfx(v_mV, t_ms, window_ms, list(feature_names("ipfx")), settings, STIMULUS_NA)
        found.append({name: None if each is None else each.tolist() for name, each in values.items()})
    try:
        origin = f"ipfx {version('ipfx')}"
    except PackageNotFoundError:
        origin = "ipfx 2.1.2"
    GOLDEN.parent.mkdir(exist_ok=True)
    command = "PYTHONPATH=. python tests/biophys/ipfx_goldens.py"
    GOLDEN.write_text(json.dumps({"origin": origin, "command": command, "values": found}) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
