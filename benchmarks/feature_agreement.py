"""Do our features agree with eFEL's, and with IPFX's, on thousands of traces?

    envs/local python benchmarks/feature_agreement.py [--quick] [--family efel|ipfx] [--traces N] [--recordings FILE]

A third of the traces are responses of the demo's cell over its whole space, the rest synthetic (noise, silence,
bursts, depolarisation block, ties, cut to as little as one sample; see feature_traces.py); --recordings adds every
sweep of a file of recordings three times.  Every feature of every trace is asked for by itself, of us and of the
package, and compared value by value: numbers to 1e-6 relative, counts exactly, undefined with undefined.

--part K/N measures one part of them; --into FILE adds its counts to a file; --report FILE prints the table of what
is in it.  Cases run in a process of their own, because eFEL may end it: a case that does is counted as `lost`.
"""

import argparse
import json
import multiprocessing
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from feature_traces import ROOT, Case, model_cases, real_cases, synthetic_cases, with_ipfx_settings

from hpcfit.biophys.extract import Reason, extract, feature_names
from hpcfit.biophys.ipfx_backend import lists_by_ipfx

RELATIVE, ABSOLUTE = 1e-6, 1e-9
SHOWN = 40


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="240 traces")
    parser.add_argument("--family", choices=("efel", "ipfx"), default="efel")
    parser.add_argument("--traces", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recordings", type=Path, default=None)
    parser.add_argument("--part", default="1/1", help="K/N")
    parser.add_argument("--into", type=Path, default=None)
    parser.add_argument("--report", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.report:
        table(json.loads(arguments.report.read_text()), arguments.family)
        return
    part, parts = (int(each) for each in arguments.part.split("/"))
    traces = 240 if arguments.quick else arguments.traces
    cases = made_cases(traces // parts, parts * arguments.seed + part)
    cases = chain(real_cases(arguments.recordings, part, parts), cases)
    found = measure(with_ipfx_settings(cases), arguments.family)
    if arguments.into:
        if arguments.into.is_file():
            found = added(json.loads(arguments.into.read_text()), found)
        arguments.into.write_text(json.dumps(found))
    table(found, arguments.family)


def made_cases(traces: int, seed: int) -> Iterator[Case]:
    """Models and synthetic ones."""
    individuals = max(8, traces // 3 // 8)  # each has eight stimuli
    return chain(synthetic_cases(traces - 8 * individuals, seed), model_cases(individuals, seed))


def measure(cases: Iterator[Case], family: str) -> dict[str, Any]:
    """Counts of all cases, each compared in a child process that the next one shares if it lives."""
    found: dict[str, Any] = {"traces": Counter(), "features": {}, "wrong": [], "lost": []}
    context = multiprocessing.get_context("spawn")
    child: Child | None = None
    for case in cases:
        child = child or Child(context, family)
        answer = child.ask(case)
        if answer is None:
            found["lost"].append([case.source, case.dt_ms, list(case.v_mV.shape)])
            child = None
        else:
            found = added(found, answer)
    if child:
        child.end()
    return found


class Child:
    """A process that compares cases until one ends it."""

    def __init__(self, context: Any, family: str) -> None:
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, family), daemon=True)
        self._process.start()
        there.close()

    def ask(self, case: Case) -> dict[str, Any] | None:
        """Counts of one case, None when the process ended."""
        try:
            self._here.send(case)
            return self._here.recv()
        except (EOFError, OSError):
            self._process.join()
            return None

    def end(self) -> None:
        self._here.close()
        self._process.join()


def serve(pipe: Any, family: str) -> None:
    """Answers cases until the pipe is closed."""
    oracle = oracle_of(family)
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(compare(case, family, oracle))


def oracle_of(family: str) -> Callable[..., dict[str, np.ndarray | None]]:
    """What reads all features of one trace by the package itself."""
    if family == "ipfx":
        return lists_by_ipfx
    sys.path.insert(0, str(ROOT / "tests" / "biophys"))
    from efel_oracle import alone  # pyright: ignore[reportMissingImports]

    return alone


def compare(case: Case, family: str, oracle: Callable[..., dict[str, np.ndarray | None]]) -> dict[str, Any]:
    """Counts of one case: [asked, defined in both, worst relative difference, disagreements, beyond] a feature."""
    names = list(feature_names(family))
    changed = case.settings if family == "efel" else case.ipfx
    settings = {**case.settings, "ipfx": case.ipfx}
    ours = extract(case.v_mV, case.dt_ms, case.window_ms, names, settings, stimulus_nA=case.stimulus_nA, i_nA=case.i_nA)
    current = {"i_nA": case.i_nA} if family == "efel" else {}
    lists = {name: ours.values(name) for name in names}
    t_ms = np.arange(case.v_mV.shape[1]) * case.dt_ms
    found: dict[str, Any] = {"traces": {case.source: len(case.v_mV)}, "features": {}, "wrong": [], "lost": []}
    counts = {name: [0, 0, 0.0, 0, 0] for name in names}
    for row, trace in enumerate(case.v_mV):
        reasons = {name: Reason(int(ours.reason[row, column])) for column, name in enumerate(names)}
        asked = [name for name in names if reasons[name] is not Reason.BEYOND]
        theirs = oracle(trace, t_ms, case.window_ms, asked, changed, case.stimulus_nA, **current)
        for name in names:
            values, offsets = lists[name]
            mine = values[offsets[row] : offsets[row + 1]]
            count = counts[name]
            if name not in theirs:
                count[4] += 1
                continue
            count[0] += 1
            same, worst = agreement(mine, reasons[name], theirs[name])
            count[1] += worst is not None
            count[2] = max(count[2], worst or 0.0) if same else count[2]
            if not same:
                count[3] += 1
                what = [case.source, name, case.dt_ms, list(case.window_ms), changed, reasons[name].name]
                found["wrong"].append(
                    [*what, mine.tolist()[:4], None if theirs[name] is None else theirs[name].tolist()[:4]]
                )
    found["features"] = counts
    return found


def agreement(ours: np.ndarray, reason: int, theirs: np.ndarray | None) -> tuple[bool, float | None]:
    """Whether the values are the same, and the worst relative difference where both are defined.

    A difference below ABSOLUTE is the rounding of voltages and times near 100, and counts as that of 0.001.
    """
    if theirs is not None and len(theirs) == 0:
        return reason == Reason.EMPTY, None
    if theirs is None or len(ours) == 0:
        undefined = theirs is None or not np.any(np.isfinite(theirs))
        return len(ours) == 0 and reason != Reason.EMPTY and undefined, None
    theirs = np.asarray(theirs, float)
    if len(ours) != len(theirs) or not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
        return False, None
    good = np.isfinite(ours)
    off = np.abs(ours[good] - theirs[good]) / np.maximum(np.abs(theirs[good]), ABSOLUTE / RELATIVE)
    worst = float(off.max()) if off.size else 0.0
    return worst <= RELATIVE, worst


def added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The counts of both."""
    features = dict(one["features"])
    for name, new in other["features"].items():
        old = features.get(name, [0, 0, 0.0, 0, 0])
        features[name] = [max(a, b) if at == 2 else a + b for at, (a, b) in enumerate(zip(old, new, strict=True))]
    return {
        "traces": dict(Counter(one["traces"]) + Counter(other["traces"])),
        "features": features,
        "wrong": one["wrong"] + other["wrong"],
        "lost": one["lost"] + other["lost"],
    }


def table(found: dict[str, Any], family: str) -> None:
    """One line a feature, the disagreements, and one JSON object in the last line."""
    print(f"{'feature':32} {'compared':>9} {'defined':>9} {'worst relative':>15} {'disagree':>9} {'beyond':>7}")
    for name, (asked, defined, worst, wrong, beyond) in found["features"].items():
        print(f"{name:32} {asked:9} {defined:9} {worst:15.1e} {wrong:9} {beyond:7}")
    for wrong in found["wrong"][:SHOWN]:
        print("differs:", json.dumps(wrong))
    counts = list(found["features"].values())
    figures = {
        "claim": f"every feature of {family} is the same to {RELATIVE:g} relative, undefined where it is undefined",
        "holds": not found["wrong"] and not found["lost"],
        "traces": found["traces"],
        "features": len(counts),
        "compared": sum(count[0] for count in counts),
        "defined_in_both": sum(count[1] for count in counts),
        "worst_relative": max((count[2] for count in counts), default=0.0),
        "disagreements": sum(count[3] for count in counts),
        "beyond": sum(count[4] for count in counts),
        "lost_cases": len(found["lost"]),
        "machine": platform.machine(),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
