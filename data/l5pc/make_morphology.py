"""Which shape has the demonstration neuron?  Writes morphology.swc, an idealised thick-tufted layer 5 pyramidal cell.

The cell is drawn from the table below, not traced: lengths (um) and diameters (um) are of the order reported for rat
layer 5 thick-tufted cells (Larkman 1991, J Comp Neurol 306:307; Hay et al. 2011, PLoS Comput Biol 7:e1002107), with
few and unbranched pieces so that a simulation is cheap.  Directions wobble by a seeded generator: the same command
always writes the same file.

    python data/l5pc/make_morphology.py [morphology.swc]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SEED = 20110728
SOMA_DIAMETER_UM = 20.0
STEP_UM = 20.0
WOBBLE = 0.12
SOMA, AXON, BASAL, APICAL = 1, 2, 3, 4


@dataclass(frozen=True)
class Branch:
    """One unbranched piece: `parent` names another branch or the soma; the diameter tapers linearly."""

    name: str
    parent: str
    kind: int
    length_um: float
    diameters_um: tuple[float, float]
    direction: tuple[float, float, float]


def trunk():
    """Apical trunk in five pieces, 620 um long, 4.5 to 2 um thick; an oblique leaves each inner fork."""
    lengths_um = np.array([70.0, 90.0, 120.0, 150.0, 190.0])
    ends_um = np.interp(np.cumsum(lengths_um), [0.0, lengths_um.sum()], [4.5, 2.0])
    starts_um = np.concatenate([[4.5], ends_um[:-1]])
    for i, (length, d0, d1) in enumerate(zip(lengths_um, starts_um, ends_um, strict=True)):
        parent = "soma" if i == 0 else f"trunk{i - 1}"
        yield Branch(f"trunk{i}", parent, APICAL, length, (d0, d1), (0.0, 1.0, 0.0))


def obliques():
    """Four oblique dendrites, one per fork of the trunk; the two lower ones bifurcate."""
    for i, length in enumerate([70.0, 60.0, 170.0, 150.0]):
        angle = 0.4 + 2.3 * i
        side = (np.cos(angle), 0.45, np.sin(angle))
        yield Branch(f"oblique{i}", f"trunk{i}", APICAL, length, (1.5, 1.1), side)
        if i > 1:
            continue
        for j, turn in enumerate((-0.5, 0.5)):
            away = (np.cos(angle + turn), 0.35, np.sin(angle + turn))
            yield Branch(f"oblique{i}.{j}", f"oblique{i}", APICAL, 130.0 - 15.0 * j, (1.1, 0.9), away)


def tuft():
    """Two limbs, four branches, of which two fork again: tips 900 to 1,080 um from the soma."""
    for i, side in enumerate((-1.0, 1.0)):
        yield Branch(f"limb{i}", "trunk4", APICAL, 110.0 + 20.0 * i, (2.0, 1.6), (0.6 * side, 1.0, 0.2 * side))
        for j, turn in enumerate((-0.6, 0.6)):
            forks = j == i
            length = 150.0 if forks else 180.0 + 30.0 * i
            name = f"tuft{i}.{j}"
            yield Branch(name, f"limb{i}", APICAL, length, (1.5, 1.2), (0.7 * side, 1.0, turn))
            for k, lean in enumerate((-0.5, 0.5) if forks else ()):
                bend = (0.7 * side + lean, 0.8, turn)
                yield Branch(f"{name}.{k}", name, APICAL, 150.0 + 25.0 * k + 5.0 * i, (1.2, 0.8), bend)


def basal_trees():
    """Five basal trees, each a short stem and two daughters."""
    for i in range(5):
        angle = 2.0 * np.pi * i / 5.0 + 0.3
        stem = (np.cos(angle), -0.4, np.sin(angle))
        yield Branch(f"basal{i}", "soma", BASAL, 36.0 + 4.0 * i, (2.4, 1.8), stem)
        for j, turn in enumerate((-0.45, 0.45)):
            away = (np.cos(angle + turn), -0.5 + 0.3 * j, np.sin(angle + turn))
            yield Branch(f"basal{i}.{j}", f"basal{i}", BASAL, 130.0 + 12.0 * ((2 * i + 3 * j) % 5), (1.5, 1.0), away)


def axon():
    """A short axon; models replace it by a stub of the same diameter."""
    yield Branch("axon", "soma", AXON, 60.0, (2.0, 1.4), (0.0, -1.0, 0.0))


def path(start, direction, length_um, rng):
    """Points after `start`, (n, 3), along a wobbling path of exactly `length_um`."""
    steps = max(2, round(length_um / STEP_UM))
    heading = np.asarray(direction, dtype=float)
    heading = heading / np.linalg.norm(heading) + WOBBLE * rng.standard_normal((steps, 3))
    heading /= np.linalg.norm(heading, axis=1, keepdims=True)
    return start + np.cumsum(heading * length_um / steps, axis=0)


def swc_rows(branches, seed=SEED):
    """Rows (id, kind, x, y, z, radius, parent id) in um; the soma is three points (NeuroMorpho's convention)."""
    rng = np.random.default_rng(seed)
    r = SOMA_DIAMETER_UM / 2.0
    rows = [(1, SOMA, 0.0, 0.0, 0.0, r, -1), (2, SOMA, 0.0, -r, 0.0, r, 1), (3, SOMA, 0.0, r, 0.0, r, 1)]
    ends = {}
    for b in branches:
        if b.parent == "soma":
            origin = r * np.asarray(b.direction) / np.linalg.norm(b.direction)
            points = np.vstack([origin, path(origin, b.direction, b.length_um, rng)])
            parent_id, travelled = 1, np.linspace(0.0, 1.0, len(points))
        else:
            parent_id, origin = ends[b.parent]
            points = path(origin, b.direction, b.length_um, rng)
            travelled = np.linspace(0.0, 1.0, len(points) + 1)[1:]
        for point, fraction in zip(points, travelled, strict=True):
            radius = np.interp(fraction, [0.0, 1.0], b.diameters_um) / 2.0
            rows.append((len(rows) + 1, b.kind, *point, radius, parent_id))
            parent_id = len(rows)
        ends[b.name] = (parent_id, points[-1])
    return rows


def write_swc(target, rows):
    """Write `rows` to the path `target`."""
    lines = [
        "# Idealised thick-tufted layer 5 pyramidal cell; no real neuron was traced.",
        "# Made by data/l5pc/make_morphology.py; change that file, not this one.",
        "# id type x y z radius parent (um; type 1 soma, 2 axon, 3 basal, 4 apical)",
    ]
    lines += [f"{i} {kind} {x:.3f} {y:.3f} {z:.3f} {r:.4f} {parent}" for i, kind, x, y, z, r, parent in rows]
    Path(target).write_text("\n".join(lines) + "\n")


def main():
    """Write the file named on the command line, by default morphology.swc beside this script."""
    target = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("morphology.swc")
    write_swc(target, swc_rows([*trunk(), *obliques(), *tuft(), *basal_trees(), *axon()]))


if __name__ == "__main__":
    main()
