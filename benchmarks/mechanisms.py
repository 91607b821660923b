"""What does the batched engine make of public models' .mod files, and does it compute what NEURON computes?

    envs/local python benchmarks/mechanisms.py FOLDER [--quick]

FOLDER holds one folder of .mod files per model.  Each file is translated or refused, and each density mechanism that is
translated is compared with NEURON: a single compartment, current steps, random parameters, double precision, both
orders (hpcfit mechanisms check --against-neuron does the same for one's own files).  --quick: second order only, and
no more than 5 files of a model.  The last line is a JSON object of counts.
"""

import argparse
import json
import re
from collections import Counter
from pathlib import Path

from hpcfit.jobs.mechanisms import Row, check_mechanisms


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    print(f"{'model':<40} {'files':>5} {'same':>5} {'max before spike, mV':>21}  rest")
    for model in sorted(path for path in arguments.folder.iterdir() if path.is_dir()):
        files = sorted(model.rglob("*.mod"))[: 5 if arguments.quick else None]
        if not files:
            continue
        rows = check_mechanisms(files, against_neuron=True, orders=(2,) if arguments.quick else (1, 2))
        counts = Counter(outcome(row) for row in rows)
        worst = max((row.trial.before_mV for row in rows if row.trial and row.trial.verdict == "same"), default=0.0)
        rest = ", ".join(f"{what} {count}" for what, count in counts.most_common() if what != "same")
        print(f"{model.name:<40} {len(rows):>5} {counts['same']:>5} {worst:>21.1e}  {rest}", flush=True)
        total += counts
    print(json.dumps(dict(total)))


def outcome(row: Row) -> str:
    """In a word or two: the verdict, or the construct that is refused."""
    if row.checked.refusals:
        found = re.match(r"(\w+) is not translated|(syntax error)|(.*?)[;:]", row.checked.refusals[0].what)
        return f"refused ({next(part for part in found.groups() if part) if found else 'other'})"
    assert row.trial is not None
    return row.trial.verdict


if __name__ == "__main__":
    main()
