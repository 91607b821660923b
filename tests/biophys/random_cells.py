"""Random cells, currents, parameters and stimuli: what the batched engine has to agree with NEURON on.

Every choice comes from a `random.Random`, so that hypothesis can make them, or a number can name a case.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from hpcfit.biophys.cell import Cell
from hpcfit.biophys.settings import CellSettings, EngineSettings, ParameterSettings, SiteSettings, StimulusSettings

MECHANISMS = Path(__file__).resolve().parents[2] / "data" / "l5pc" / "mechanisms"
DENSITIES = {
    "pas": ("g_pas", 5e-5),
    "hh": ("gnabar_hh", 0.12),
    "Ca_HVA": ("gCa_HVAbar_Ca_HVA", 5e-4),
    "Ca_LVAst": ("gCa_LVAstbar_Ca_LVAst", 3e-3),
    "Ih": ("gIhbar_Ih", 2e-4),
    "Im": ("gImbar_Im", 3e-4),
    "K_Pst": ("gK_Pstbar_K_Pst", 0.05),
    "K_Tst": ("gK_Tstbar_K_Tst", 0.05),
    "NaTa_t": ("gNaTa_tbar_NaTa_t", 0.5),
    "NaTs2_t": ("gNaTs2_tbar_NaTs2_t", 0.3),
    "Nap_Et2": ("gNap_Et2bar_Nap_Et2", 3e-3),
    "SK_E2": ("gSK_E2bar_SK_E2", 0.01),
    "SKv3_1": ("gSKv3_1bar_SKv3_1", 0.2),
    "CaDynamics_E2": ("gamma_CaDynamics_E2", 2e-3),
}
"""The number that makes a mechanism strong, and how strong it is in cells that fire."""

_SODIUM = ("hh", "NaTa_t", "NaTs2_t", "Nap_Et2")
_POTASSIUM = ("hh", "Im", "K_Pst", "K_Tst", "SK_E2", "SKv3_1")
_TYPES = {"axonal": 2, "basal": 3, "apical": 4}
_MOST_SEGMENTS = 90


@dataclass(frozen=True)
class Case:
    """A cell, individuals (individuals, free parameters), stimuli, and how they are simulated."""

    cell: Cell
    values: np.ndarray
    stimuli: tuple[StimulusSettings, ...]
    engine: EngineSettings


def random_case(random: Random, folder: Path) -> Case:
    """One case; its morphology is written into the folder."""
    points, lengths = _tree(random)
    (folder / "cell.swc").write_text("".join(f"{' '.join(map(str, point))}\n" for point in points))
    present = ["somatic", *(region for region, kind in _TYPES.items() if any(point[1] == kind for point in points))]
    stub = random.random() < 0.3
    if stub and "axonal" not in present:
        present.append("axonal")
    sites = _sites(random, [region for region in present if region != "axonal"])
    regions = _regions(random, present)
    settings = CellSettings.model_validate(
        {
            "morphology": folder / "cell.swc",
            "mechanisms": MECHANISMS,
            "regions": regions,
            "axon": "stub" if stub else "keep",
            "segment_length_um": max(random.choice([15.0, 40.0, 120.0, 1000.0]), sum(lengths) / _MOST_SEGMENTS * 2),
            "celsius": random.choice([6.3, 20.0, 34.0, 40.0]),
            "v_init_mV": random.choice([-120.0, -90.0, -70.0, -65.0, -40.0, 0.0]),
        }
    )
    parameters = tuple(ParameterSettings.model_validate(one) for one in _parameters(random, regions, present))
    cell = Cell(settings, parameters, sites)
    low, high = np.array([one.bounds for one in cell.free], dtype=float).reshape(-1, 2).T
    share = np.array([[random.random() for _ in cell.free] for _ in range(3)]).reshape(3, -1)
    area_um2 = 4 * np.pi * points[0][5] ** 2
    stimuli = tuple(_stimulus(random, name, area_um2, sites) for name in ("one", "other"))
    dt_ms = random.choice([0.025, 0.025, 0.05, 0.1])
    engine = EngineSettings(order=random.choice([1, 2]), dt_ms=dt_ms, record_dt_ms=dt_ms, workers=1)
    return Case(cell, low + share * (high - low), stimuli, engine)


def _tree(random: Random) -> tuple[list[tuple], list[float]]:
    """Points of an SWC file, and the length of every section."""
    radius = _spread(random, 1.5, 25.0)
    points: list[tuple] = [
        (1, 1, 0.0, 0.0, 0.0, radius, -1),
        (2, 1, 0.0, -radius, 0.0, radius, 1),
        (3, 1, 0.0, radius, 0.0, radius, 1),
    ]
    lengths: list[float] = [2 * radius]
    for kind in random.sample([3, 4, 2, 3], k=random.randint(0, 4)):
        angle, thickness = random.uniform(0, 2 * np.pi), _spread(random, 0.15, 3.0)
        start = (radius * np.cos(angle), radius * np.sin(angle), 0.0)
        points.append((len(points) + 1, kind, *start, thickness, 1))
        _grow(random, points, lengths, kind, angle, depth=0)
    return points, lengths


def _grow(random: Random, points: list[tuple], lengths: list[float], kind: int, angle: float, depth: int) -> None:
    """A section from the last point on, and those after it."""
    number, _, x, y, z, thickness, _ = points[-1]
    length, pieces = _spread(random, 3.0, 600.0), random.randint(1, 3)
    for piece in range(1, pieces + 1):
        along = length * piece / pieces
        end = (x + along * np.cos(angle), y + along * np.sin(angle), z + random.uniform(-1, 1))
        thickness = max(0.08, thickness * random.uniform(0.6, 1.05))
        points.append((len(points) + 1, kind, *end, thickness, number))
        number = len(points)
    lengths.append(length)
    if depth < 3 and len(lengths) < 14 and random.random() < 0.6:
        fork = points[-1]
        for _ in range(random.randint(2, 3)):
            turned = angle + random.uniform(-0.8, 0.8)
            step = (fork[2] + np.cos(turned), fork[3] + np.sin(turned), fork[4])
            points.append((len(points) + 1, kind, *step, fork[5] * random.uniform(0.4, 1.0), fork[0]))
            _grow(random, points, lengths, kind, turned, depth + 1)


def _sites(random: Random, present: list[str]) -> tuple[SiteSettings, ...]:
    dendrites = [region for region in present if region != "somatic"]
    if not dendrites:
        return (SiteSettings(name="soma"),)
    place = {"region": random.choice(dendrites), "x": random.choice([0.1, 0.5, 0.9])}
    return SiteSettings(name="soma"), SiteSettings.model_validate({"name": "dend", **place})


def _regions(random: Random, present: list[str]) -> dict[str, list[str]]:
    """Mechanisms of each region; excitable ones are kept together, so that cells fire."""
    regions: dict[str, list[str]] = {"all": ["pas"] if random.random() < 0.9 else []}
    channels = [name for name in DENSITIES if name != "pas"]
    for region in present:
        chosen = random.sample(channels, k=random.randint(0, 5))
        if region == "somatic" and random.random() < 0.7:
            chosen += [random.choice(_SODIUM[:3]), random.choice(["SKv3_1", "K_Tst"])]
        regions[region] = sorted(set(chosen))
    if not any(regions.values()):
        regions["all"] = ["pas"]
    return regions


def _parameters(random: Random, regions: dict[str, list[str]], present: list[str]) -> Iterator[dict]:
    """Free and fixed parameters, in the order of a fit file."""
    yield _one(random, "Ra", ["all"], 40.0, 400.0)
    yield _one(random, "cm", random.choice([["all"], ["somatic"]]), 0.6, 3.0)
    for region, mechanisms in regions.items():
        for mechanism in mechanisms:
            variable, typical = DENSITIES[mechanism]
            distribution = random.choice(
                ["uniform", "uniform", "value * (1 + distance / 300)", "value * exp(-distance/90)"]
            )
            yield _one(random, variable, [region], typical / 5, typical * 4, zero=0.1, distribution=distribution)
        if "pas" in mechanisms:
            yield _one(random, "e_pas", [region], -95.0, -55.0)
        if "CaDynamics_E2" in mechanisms:
            yield _one(random, "decay_CaDynamics_E2", [region], 1.0, 1000.0)
        if "Ih" in mechanisms and random.random() < 0.3:
            yield _one(random, "ehcn_Ih", [], -55.0, -20.0)
        if "SK_E2" in mechanisms and random.random() < 0.3:
            yield _one(random, "zTau_SK_E2", [], 0.01, 50.0)
    for variable, users, low, high in (("ena", _SODIUM, 35.0, 75.0), ("ek", _POTASSIUM, -110.0, -70.0)):
        where = [region for region in present if set(users) & {*regions[region], *regions["all"]}]
        if where:
            yield _one(random, variable, where, low, high)
    if random.random() < 0.3:
        yield {"variable": "v_init", "bounds": [-110.0, -30.0]}


def _one(random: Random, variable: str, where: list[str], low: float, high: float, zero=0.0, **more) -> dict:
    """A parameter: free, fixed, or fixed at zero with this chance."""
    given = {"variable": variable, **more, **({"regions": where} if where else {})}
    if random.random() < zero:
        return {**given, "value": 0.0}
    if random.random() < 0.25:
        return {**given, "bounds": [low, high]}
    return {**given, "value": _spread(random, low, high) if low > 0 else random.uniform(low, high)}


def _stimulus(random: Random, name: str, area_um2: float, sites: tuple[SiteSettings, ...]) -> StimulusSettings:
    """Currents that suit the size of the soma, some of them much too strong."""
    electrodes = [_electrode(random, area_um2, random.choice(sites).name) for _ in range(random.randint(1, 2))]
    return StimulusSettings.model_validate(
        {
            "name": name,
            "duration_ms": 60,
            "holding_nA": random.choice([0.0, -2e-5]) * area_um2,
            "electrodes": electrodes,
        }
    )


def _electrode(random: Random, area_um2: float, site: str) -> dict:
    amplitude = _spread(random, 2e-5, 1e-3) * area_um2 * random.choice([1, 1, 1, -0.3])
    timing = {
        "site": site,
        "delay_ms": random.choice([0.0, 1.0, 5.0125, 7.3]),
        "duration_ms": random.choice([2.0, 20.01, 50.0]),
    }
    shape = random.choice(["step", "step", "ramp", "noise", "chirp"])
    if shape == "step":
        return {"shape": shape, **timing, "amplitude_nA": amplitude}
    if shape == "ramp":
        return {"shape": shape, **timing, "start_nA": 0.0, "end_nA": 2 * amplitude}
    if shape == "noise":
        return {"shape": shape, **timing, "sd_nA": abs(amplitude), "seed": random.randint(0, 99)}
    return {"shape": shape, **timing, "amplitude_nA": amplitude, "start_Hz": 5.0, "end_Hz": 200.0}


def _spread(random: Random, low: float, high: float) -> float:
    """Evenly on a logarithmic scale."""
    return float(low * (high / low) ** random.random())
