"""Does bad input end in one line that names the place, what was got and the cure, with exit code 2 and nothing written?

Paths are compared without the folder of the test: `./ball.swc` stands for the file beside the fit file.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import pytest

from hpcfit.population.ledger import SCHEMA, Ledger, same_numbers

SWC = """\
1 1 0 0 0 8 -1
2 3 8 0 0 1 1
3 3 100 0 0 1 2
4 3 208 0 0 1 3
"""
ASC = """\
("CellBody" (CellBody)
 (-8 0 0 1)
 (0 8 0 1)
 (8 0 0 1)
)
((Dendrite)
 (8 0 0 2)
 (208 0 0 2)
)
"""
FEATURES = 'features = ["Spikecount", "AP_amplitude", "voltage_base"]'
STATISTICS = """\
[targets.step.statistics.soma]
Spikecount = [2, 0.5]
AP_amplitude = [75, 3]
voltage_base = [-66, 1]
"""
E_PAS = 'variable = "e_pas"\nregions = ["all"]\nvalue = -65'
GNABAR = 'variable = "gnabar_hh"\nregions = ["somatic"]'
MECHANISMS = ("celsius = 20", 'celsius = 20\nmechanisms = "mechanisms"')


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything under a folder, with times and sizes."""
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(hpcfit: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """refused("fit", file): the one line that the command ends with; fails unless it left everything as it was."""

    def call(*arguments: object) -> str:
        before = tree(tmp_path)
        ended = hpcfit(*arguments)
        assert (ended.code, ended.out) == (2, ""), ended
        assert ended.err.startswith("hpcfit: ") and ended.err.endswith("\n"), ended
        assert ended.err.count("\n") == 1 and "\x1b" not in ended.err, ended
        assert tree(tmp_path) == before
        return ended.err.removeprefix("hpcfit: ").removesuffix("\n").replace(f"{tmp_path}/", "./")

    return call


def says(line: str, *parts: str) -> None:
    """The line starts with the first part and has the others, in that order."""
    assert line.startswith(parts[0]), (line, parts)
    place = 0
    for part in parts:
        assert part in line[place:], (line, part)
        place = line.index(part, place) + len(part)


SETTINGS = {
    "broken": ('name = "tiny"', 'name = "tiny', "./fit.toml: not valid TOML", "line 1"),
    "broken further down": ("seed = 3", "seed = = 3", "./fit.toml: not valid TOML", "line 55"),
    "unknown key": ("[[scores]]", "[[score]]", "./fit.toml: unknown key score; did you mean scores?"),
    "unknown key that is needed": (
        "morphology =",
        "morpholgy =",
        "./fit.toml: unknown key cell.morpholgy; did you mean ",
    ),
    "unknown key in a list in a list": (
        "delay_ms =",
        "dely_ms =",
        "./fit.toml: unknown key stimuli[0].electrodes[0].dely_ms; did you mean delay_ms?",
    ),
    "unknown key of the strategy": (
        "mutation =",
        "mutaton =",
        "./fit.toml: unknown key strategy.mutaton; did you mean mu",
    ),
    "unknown key of a table in it": (
        "gene_rate =",
        "rates =",
        "./fit.toml: unknown key strategy.mutation.rates",
        "rate?",
    ),
    "unknown key like no other": (
        "seed = 3",
        "xyz = 3",
        "./fit.toml: unknown key run.xyz; known here: evaluations, gen",
    ),
    "unknown key of a target": (
        "step.statistics",
        "step.statistic",
        "./fit.toml: unknown key targets.step.statistic",
        "?",
    ),
    "unknown region": ("somatic = [", "somatc = [", "./fit.toml: unknown key cell.regions.somatc", "'somatic'"),
    "unknown region of a parameter": (
        GNABAR,
        'variable = "gnabar_hh"\nregions = ["soma"]',
        "./fit.toml: parameters[2].regions[0] = 'soma': must be 'all', 'somatic'",
    ),
    "text for a number": (
        "duration_ms = 50",
        'duration_ms = "50 ms"',
        "./fit.toml: stimuli[0].duration_ms = '50 ms': mu",
    ),
    "text for a whole number": ("seed = 3", 'seed = "x"', "./fit.toml: run.seed = 'x': must be a whole number"),
    "fraction for a whole number": ("seed = 3", "seed = 3.5", "./fit.toml: run.seed = 3.5: must be a whole number"),
    "true for a number": ("seed = 3", "seed = true", "./fit.toml: run.seed = true: must not be true or false"),
    "number for a list": ("[1e-5, 1e-3]", "1e-3", "./fit.toml: parameters[1].bounds = 0.001: must be a list"),
    "number for a table": ("{ gene_rate = 0.5 }", "1", "./fit.toml: strategy.mutation = 1: must be a table"),
    "number for a path": ('"ball.swc"', "3", "./fit.toml: cell.morphology = 3: must be a path"),
    "table for a list": ("[[stimuli]]", "[stimuli]", "./fit.toml: stimuli: must be a list", "write [[stimuli]]"),
    "not a number": (
        "duration_ms = 50",
        "duration_ms = nan",
        "./fit.toml: stimuli[0].duration_ms = nan: must be a finite",
    ),
    "negative": (
        "duration_ms = 50",
        "duration_ms = -5",
        "./fit.toml: stimuli[0].duration_ms = -5: must be greater than 0",
    ),
    "unknown shape": (
        'shape = "step"',
        'shape = "stp"',
        "./fit.toml: stimuli[0].electrodes[0].shape = 'stp': must be one of step, ramp, chirp, noise, file",
    ),
    "no shape": ('shape = "step", ', "", "./fit.toml: stimuli[0].electrodes[0].shape: must be one of step, ramp"),
    "two amplitudes": (
        "amplitude_nA = 0.2",
        "amplitude_nA = 0.2, amplitude_rheobase = 1",
        "./fit.toml: stimuli[0].electrodes[0]: give either amplitude_nA or amplitude_rheobase",
    ),
    "no rheobase": (
        "amplitude_nA =",
        "amplitude_rheobase =",
        "./fit.toml: stimuli[0].electrodes[0].amplitude_rh",
        "add one",
    ),
    "bounds reversed": (
        "[1e-5, 1e-3]",
        "[1e-3, 1e-5]",
        "./fit.toml: parameters[1]: g_pas.all: bounds = [0.001, 1e-05]",
    ),
    "one bound": ("[1e-5, 1e-3]", "[1e-5]", "./fit.toml: parameters[1].bounds[1] is missing; add it"),
    "logarithm of 0": (
        "[1e-5, 1e-3]",
        "[0, 1e-3]",
        "./fit.toml: parameters[1]: g_pas.all: bounds start at 0",
        "above 0",
    ),
    "value and bounds": (
        "value = -65",
        "value = -65\nbounds = [-70, -60]",
        "./fit.toml: parameters[0]: e_pas",
        "got both",
    ),
    "neither": ("value = -65", "", "./fit.toml: parameters[0]: e_pas.all: give either value", "got neither"),
    "twice": ('"gnabar_hh"', '"gkbar_hh"', "./fit.toml: parameters: the name gkbar_hh.somatic is given 2 times"),
    "distribution": (
        'unit = "S/cm2"',
        'distribution = "vlue"',
        "./fit.toml: parameters[1].distribution = 'vlue'",
        "accepted",
    ),
    "distribution of Ra": (
        E_PAS,
        E_PAS.replace("e_pas", "Ra") + '\ndistribution = "value * 2"',
        "./fit.toml: parameters[0]: Ra.all: Ra has no distance along a section; remove its distribution",
    ),
    "window outside": (
        "duration_ms = 50",
        "duration_ms = 39",
        "./fit.toml: stimuli[0]: step: stimulus window [10, 40] ms",
    ),
    "electrode that never starts": (
        "amplitude_nA = 0.2 }",
        'amplitude_nA = 0.2 }, { shape = "step", delay_ms = 60, duration_ms = 1, amplitude_nA = 1 }',
        "./fit.toml: stimuli[0]: step: electrodes[1].delay_ms = 60 is not before the end, duration_ms = 50; change",
    ),
    "target of no stimulus": ("[targets.step.", "[targets.stp.", "./fit.toml: targets.stp", "did you mean step?"),
    "target at no site": (
        "statistics.soma]",
        "statistics.sma]",
        "./fit.toml: targets.step.statistics.sma",
        "mean soma?",
    ),
    "scores of no stimulus": (FEATURES, 'stimuli = ["stp"]', "./fit.toml: scores[0].stimuli names stp", "mean step?"),
    "no sd": (
        "[2, 0.5]",
        "[2, 0]",
        "./fit.toml: targets.step.statistics.soma.Spikecount[1] = 0: must be greater than 0",
    ),
    "idle option": (
        "{ gene_rate = 0.5 }",
        "{ sigma = 1 }",
        "./fit.toml: strategy: mutation.sigma = 1 belongs to",
        "remove",
    ),
    "unknown strategy": (
        "[strategy]",
        '[strategy]\nkind = "ibae"',
        "./fit.toml: strategy.kind = 'ibae': must be one of mu_plus_lambda, mu_comma_lambda, ibea, nsga2, cma_es, p",
    ),
    "option of another strategy": (
        "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }",
        '[strategy]\nkind = "cma_es"\noffspring = 6',
        "./fit.toml: unknown key strategy.offspring; known here: active, islands, kind, population, restart_s",
    ),
    "misspelt option of a strategy": (
        "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }",
        '[strategy]\nkind = "particle_swarm"\ninertai = 0.6',
        "./fit.toml: unknown key strategy.inertai; did you mean inertia?",
    ),
    "idle option of a strategy": (
        "[strategy]",
        '[strategy]\nkind = "nsga2"\nkappa = 0.1',
        "./fit.toml: strategy: kappa = 0.1 belongs to kind = 'ibea', but kind is 'nsga2'; remove it",
    ),
    "idle option of a variant": (
        "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }",
        '[strategy]\nkind = "differential_evolution"\nvariant = "best_1"\nbest_fraction = 0.2',
        "./fit.toml: strategy: best_fraction = 0.2 belongs to variant = 'current_to_pbest_1', but variant is 'best_1'",
    ),
    "range that is none": (
        "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }",
        '[strategy]\nkind = "differential_evolution"\nscale = [0.9, 0.5]',
        "./fit.toml: strategy: scale = [0.9, 0.5] is no range; give the smaller number first",
    ),
    "unknown objectives": (
        "[strategy]",
        '[strategy]\nkind = "ibea"\nobjectives = "feature"',
        "./fit.toml: strategy.objectives = 'feature': must be one of terms, features, stimuli, families,",
        "stimulus_families, or a table of groups with patterns of names; did you mean features?",
    ),
    "population too small": (
        "[strategy]\nparents = 4\noffspring = 6\nmutation = { gene_rate = 0.5 }",
        '[strategy]\nkind = "cma_es"\npopulation = 3',
        "./fit.toml: strategy.population = 3: must be greater than or equal to 4",
    ),
    "stop without its number": (
        "seed = 3",
        "stop = { improvement_percent = 1 }",
        "./fit.toml: run.stop.stagnant_generations is missing; add it",
    ),
    "unknown way to stop": (
        "seed = 3",
        "stop = { stagnation = 3 }",
        "./fit.toml: unknown key run.stop.stagnation; did you mean stagnant_generations?",
    ),
    "newer schema": ("[cell]", "schema = 2\n[cell]", "./fit.toml: schema = 2: must be 1"),
    "steps that do not fit": (
        "workers = 2",
        "record_dt_ms = 0.03",
        "./fit.toml: engine: record_dt_ms = 0.03",
        "choose",
    ),
    "unknown feature": (
        FEATURES,
        'features = ["Spikecunt"]',
        "./fit.toml: scores[0].features: eFEL has no",
        "Spikecount?",
    ),
    "unknown feature of a target": (
        "voltage_base = ",
        "voltage_bse = ",
        "./fit.toml: targets.step.statistics.soma: eFEL",
    ),
    "feature that is no number": (
        FEATURES,
        'features = ["peak_indices"]',
        "./fit.toml: scores[0].features: peak_ind",
        "leave",
    ),
    "stimulus without target": (
        "[[scores]]",
        '[[stimuli]]\nname = "two"\nduration_ms = 20\n\n[[scores]]',
        "./fit.toml: stimulus two has no [targets.two]; add it",
    ),
    "scores of a stimulus without target": (
        "[[scores]]",
        '[[stimuli]]\nname = "two"\nduration_ms = 20\n\n[[scores]]\nstimuli = ["two"]',
        "./fit.toml: scores[0].stimuli names two, which has no [targets.two]; add it",
    ),
    "morphology": ("ball.swc", "bull.swc", "./bull.swc: no such morphology; cell.morphology names"),
    "morphology of unknown type": (
        "ball.swc",
        "fit.toml",
        "./fit.toml: morphology of type .toml; accepted: .swc, .asc",
    ),
    "folder of mechanisms": ("celsius = 20", 'mechanisms = "none"', "./none: no such folder; cell.mechanisms names"),
    "mechanism": ('"hh"]', '"hhh"]', "./fit.toml: cell.regions.somatic: no mechanism hhh in NEURON", "mend the name"),
    "region without sections": (
        'all = ["pas"]',
        'apical = ["pas"]',
        "./fit.toml: cell.regions.apical: the morphology has no",
    ),
    "mechanism that is not there": (
        GNABAR,
        GNABAR.replace("somatic", "basal"),
        "./fit.toml: parameter gnabar_hh.basal: dend[0] has no variable gnabar_hh",
        "inserted: pas; add the mechanism",
    ),
    "parameter of a region without sections": (
        GNABAR,
        GNABAR.replace("somatic", "apical"),
        "./fit.toml: parameter gnabar_hh.apical: the morphology has no sections in apical; mend its regions",
    ),
    "Ra of a region without sections": (
        E_PAS,
        'variable = "Ra"\nregions = ["apical"]\nvalue = 100',
        "./fit.toml: parameter Ra.apical: the morphology has no sections in apical; mend its regions",
    ),
    "variable": ('"gnabar_hh"', '"gnaber_hh"', "./fit.toml: parameter gnaber_hh.somatic: soma[0] has no", "gnabar_hh?"),
    "global variable": (
        E_PAS,
        'variable = "e_leak"\nvalue = 1',
        "./fit.toml: parameter e_leak: NEURON has no global var",
    ),
    "Ra as a global": (
        E_PAS,
        'variable = "Ra"\nvalue = 1',
        "./fit.toml: parameter Ra: NEURON has no global",
        "regions",
    ),
    "celsius of a region": (
        E_PAS,
        E_PAS.replace("e_pas", "celsius"),
        "./fit.toml: parameter celsius.all:",
        "leave out its",
    ),
    "value that NEURON refuses": (
        E_PAS,
        E_PAS.replace("e_pas", "L"),
        "./fit.toml: parameter L.all: NEURON refuses -65",
        "ch",
    ),
    "distribution that is not finite": (
        'unit = "S/cm2"',
        'distribution = "value * log(50 - distance)"',
        "./fit.toml: parameter g_pas.all: distribution = 'value * log(50 - distance)' is not finite at distance =",
    ),
    "unit": ('"S/cm2"', '"mS/cm2"', "./fit.toml: parameter g_pas.all: unit = 'mS/cm2', but g_pas is in 'S/cm2'; give"),
    "site in a region without sections": (
        "[engine]",
        '[[sites]]\nname = "tuft"\nregion = "apical"\n[engine]',
        "./fit.toml: site tuft: the morphology has no sections in apical; mend its region",
    ),
    "site in no section": (
        "[engine]",
        '[[sites]]\nname = "tuft"\nregion = "basal"\nsection = 7\n[engine]',
        "./fit.toml: site tuft: section = 7, but basal has sections 0 to 0; choose",
    ),
    "site off the tree": (
        "[engine]",
        '[[sites]]\nname = "far"\nregion = "basal"\ndistance_um = 700\n[engine]',
        "./fit.toml: site far: distance_um = 700, but basal reaches to 200.0 um; choose less",
    ),
    "waveform": (
        'shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2',
        'shape = "file", path = "none.csv"',
        "./none.csv: no such recording; paths in a settings file are relative to that file",
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name, tiny, refused):
    old, new, *parts = SETTINGS[name]
    line = refused("fit", tiny((old, new)))
    says(line, *parts)
    assert "more)" not in line  # there is one mistake


def test_two_mistakes_are_counted_and_the_unknown_key_comes_first(tiny, refused):
    file = tiny(("duration_ms = 50", "duration_ms = -50"), ("seed = 3", "sed = 3"))
    says(refused("fit", file), "./fit.toml: unknown key run.sed; did you mean seed? (and 1 more)")


def test_no_fit_file(tmp_path, refused):
    says(refused("fit", tmp_path / "none.toml"), "./none.toml: no such file; give the path")
    says(refused("check", tmp_path), f"{tmp_path}: cannot be read:", "Is a directory")


def test_check_refuses_as_fit_does(tiny, refused):
    file = tiny(('"S/cm2"', '"mV"'))
    assert refused("check", file) == refused("fit", file)


MORPHOLOGIES = {
    "bad number": ("3 3 100", "3 3 1oo", "./cell.swc, line 3: Unable to parse this line"),
    "missing column": (" 1 2\n", " 1\n", "./cell.swc, line 3: Unable to parse this line"),
    "unknown parent": (" 1 2\n", " 1 77\n", "./cell.swc, line 3:", "parent ID: 77"),
    "its own parent": (" 1 2\n", " 1 3\n", "./cell.swc, line 3:"),
    "radius": ("208 0 0 1", "208 0 0 0", "./cell.swc, line 4: radius 0; it must be above 0"),
    "type": (" 3 ", " 17 ", "./cell.swc, line 2: type 17; NEURON takes 1 (soma)"),
    "type that changes on the way": ("4 3 208", "4 4 208", "./cell.swc, line 3: Section type changed without"),
    "two somata": ("2 3 8 0 0 1 1", "2 1 8 0 0 1 -1", "./cell.swc, lines 1, 2: Multiple somata"),
    "no soma": (SWC, "1 3 0 0 0 8 -1\n2 3 8 0 0 1 1\n", "./cell.swc: has no soma; a cell needs one"),
    "empty": (SWC, "", "./cell.swc: has no soma; a cell needs one"),
    "no text": (SWC, "\x00\x01\x02", "./cell.swc, line 1: Unable to parse this line"),
}


@pytest.mark.parametrize("name", MORPHOLOGIES)
def test_swc(name, tiny, refused, tmp_path):
    old, new, *parts = MORPHOLOGIES[name]
    assert old in SWC
    (tmp_path / "cell.swc").write_text(SWC.replace(old, new))
    says(refused("fit", tiny(("ball.swc", "cell.swc"))), *parts)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("(208 0 0 2)", "(208 0 two 2)", ("./cell.asc, line 8:", '"two"')),
        (" (208 0 0 2)\n)\n", " (208 0 0 2)\n", ("./cell.asc, line", "end of file")),
        (ASC[: ASC.index("((D")], "", ("./cell.asc: has no soma",)),
    ],
)
def test_asc(old, new, parts, tiny, refused, tmp_path):
    assert old in ASC
    (tmp_path / "cell.asc").write_text(ASC.replace(old, new))
    says(refused("fit", tiny(("ball.swc", "cell.asc"))), *parts)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("(v - e)", "* (v - e)", ("./mechanisms/leak.mod, line 16: syntax error at 'i = g * * (v - e)'",)),
        ("    RANGE g", "    RANG g", ("./mechanisms/leak.mod, line 4: syntax error at 'RANG g'",)),
        ("(v - e)", "(v - reversal)", ("./mechanisms/leak.mod, line 16: 'reversal' was not declared",)),
        (
            "SUFFIX leak",
            "SUFFIX hh",
            ("./mechanisms: NEURON cannot load", "already exists: hh", "a mechanism must not"),
        ),
    ],
)
def test_mod(old, new, parts, tiny, leak, refused):
    file = leak / "leak.mod"
    file.write_text(file.read_text().replace(old, new))
    says(refused("fit", tiny(MECHANISMS)), *parts)


def test_folder_without_mod(tiny, refused, tmp_path):
    (tmp_path / "mechanisms").mkdir()
    says(refused("fit", tiny(MECHANISMS)), "./mechanisms: holds no .mod file; leave cell.mechanisms out if")


def test_empty_mod(tiny, leak, refused):
    (leak / "leak.mod").write_text("")
    says(refused("fit", tiny(MECHANISMS)), "./mechanisms/leak.mod: has no NEURON block")


def test_global_of_a_mechanism(tiny, leak, refused):
    pas = ('all = ["pas"]', 'all = ["pas", "leak"]')
    line = refused("fit", tiny(MECHANISMS, pas, (E_PAS, 'variable = "e_leak"\nregions = ["all"]\nvalue = -70')))
    says(line, "./fit.toml: parameter e_leak.all:", "one for the whole cell; leave out its regions")
    line = refused("fit", tiny(MECHANISMS, pas, (E_PAS, 'variable = "e_leak"\nvalue = -70\nunit = "S/cm2"')))
    says(line, "./fit.toml: parameter e_leak: unit = 'S/cm2', but e_leak is in 'mV'")
    line = refused("fit", tiny(MECHANISMS, ('all = ["pas"]', 'all = ["pas", "leek"]')))
    says(line, "./fit.toml: cell.regions.all: no mechanism leek in ./mechanisms; add its .mod file or mend the name")


ELECTRODES = 'electrodes = [{ shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2 }]'
POINT_PROCESSES: dict[str, tuple[str, ...]] = {
    "unknown mechanism": (
        'mechanism = "Exp2Sin", times_ms = [3], weight = 1',
        "./fit.toml: stimulus step: point_processes[0].mechanism = 'Exp2Sin' is no POINT_PROCESS that NEURON has",
        "did you mean Exp2Syn?",
    ),
    "density mechanism": ('mechanism = "hh"', "./fit.toml: stimulus step: point_processes[0].mechanism = 'hh' is no"),
    "unknown parameter": (
        'mechanism = "Exp2Syn", times_ms = [3], weight = 1, parameters = { tao1 = 3 }',
        "./fit.toml: stimulus step: point_processes[0].parameters: Exp2Syn has no parameter tao1; did you mean tau1?",
    ),
    "events for one that takes none": (
        'mechanism = "AlphaSynapse", times_ms = [3], weight = 1',
        "./fit.toml: stimulus step: point_processes[0].times_ms is given, but AlphaSynapse has no NET_RECEIVE",
    ),
    "unknown key": (
        'mechanism = "ExpSyn", time_ms = [3], weight = 1',
        "./fit.toml: unknown key stimuli[0].point_processes[0].time_ms; did you mean times_ms?",
    ),
    "unknown site": (
        'mechanism = "ExpSyn", site = "some", times_ms = [3], weight = 1',
        "./fit.toml: stimuli[0].point_processes[0].site names some, which does not exist; did you mean soma?",
    ),
    "events out of order": (
        'mechanism = "ExpSyn", times_ms = [3, 9, 5], weight = 1',
        "./fit.toml: stimuli[0].point_processes[0].times_ms: 5 comes after 9; put the times in ascending order",
    ),
    "events before the start": (
        'mechanism = "ExpSyn", times_ms = [-3], weight = 1',
        "./fit.toml: stimuli[0].point_processes[0].times_ms[0] = -3: must be greater than or equal to 0",
    ),
    "events after the end": (
        'mechanism = "ExpSyn", times_ms = [3, 50], weight = 1',
        "./fit.toml: stimuli[0]: step: point_processes[0].times_ms ends at 50, which is not before the end",
    ),
    "no weight": (
        'mechanism = "ExpSyn", times_ms = [3]',
        "./fit.toml: stimuli[0].point_processes[0]: times_ms is given without weight; give both, or neither",
    ),
    "no times": (
        'mechanism = "ExpSyn", weight = 3',
        "./fit.toml: stimuli[0].point_processes[0]: weight is given without times_ms; give both, or neither",
    ),
}


@pytest.mark.parametrize("name", POINT_PROCESSES)
def test_point_processes(name, tiny, refused):
    entry, *parts = POINT_PROCESSES[name]
    says(refused("fit", tiny((ELECTRODES, f"point_processes = [{{ {entry} }}]"))), *parts)


def test_parameters_of_point_processes(tiny, refused):
    synapse = 'point_processes = [{ mechanism = "ExpSyn", name = "ampa", times_ms = [3], weight = 1 }]'
    named = (ELECTRODES, synapse)
    line = refused("fit", tiny(named, (E_PAS, 'variable = "apma.e"\nvalue = -65')))
    says(line, "./fit.toml: parameters[0].variable names apma, which does not exist; did you mean ampa?")
    line = refused("fit", tiny(named, (E_PAS, 'variable = "ampa.tua"\nvalue = 5')))
    says(line, "./fit.toml: parameter ampa.tua: ExpSyn has no parameter tua; did you mean tau?")
    line = refused("fit", tiny(named, (E_PAS, 'variable = "ampa.e"\nregions = ["all"]\nvalue = 5')))
    says(line, "./fit.toml: parameters[0]: ampa.e.all: ampa.e is a point process' own; remove its regions")
    line = refused("fit", tiny((E_PAS, 'variable = "ampa.e"\nvalue = 5')))
    says(line, "./fit.toml: parameters[0].variable = 'ampa.e', but no point process has a name; give name = ")


def _csv(samples: int = 600) -> str:
    rows = [f"{0.1 * i:.4g},-65,{0.2 * (100 <= i < 400):.4g}" for i in range(samples)]
    return "\n".join(["time_ms,voltage_mV,current_nA", *rows]) + "\n"


def _nwb_without_sweeps(path: Path) -> None:
    pynwb = pytest.importorskip("pynwb")
    file = pynwb.NWBFile("no sweeps", "1", datetime(2020, 1, 1, tzinfo=UTC))
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)


RECORDINGS: dict[str, tuple[Any, ...]] = {
    "missing": ("none.csv", None, "./none.csv: no such recording"),
    "type": ("fit.toml", None, "./fit.toml: recordings of type .toml; accepted"),
    "too short": ("r.csv", _csv(300), "./r.csv: sweep r: lasts 30 ms, stimulus step 50 ms; shorten"),
    "bad number": ("r.csv", _csv().replace("\n10,-65", "\n10,x"), "./r.csv: line 102:", "'x'", "must be a number"),
    "missing cell": ("r.csv", _csv().replace("\n10,-65", "\n10"), "./r.csv: line 102 has 2 cells, the header 3; mend"),
    "missing row": ("r.csv", _csv().replace("\n10,-65,0.2", ""), "./r.csv: time is not evenly spaced at line 102"),
    "no header": ("r.csv", _csv().partition("\n")[2], "./r.csv: line 1 must name the columns, time_ms among them"),
    "volts": (
        "r.csv",
        _csv().replace("-65", "-0.065"),
        "./r.csv: sweep r: voltage reaches 0.065 mV, which cannot be mV",
    ),
    "undefined": ("r.csv", _csv(), "./fit.toml: targets.step: none of its 1 features", "undefined in 1 of 1"),
    "no HDF5": ("r.h5", _csv(), "./r.h5: cannot be read as HDF5"),
    "no NWB": ("r.nwb", _csv(), "./r.nwb: cannot be read as NWB"),
    "NWB without sweeps": ("r.nwb", _nwb_without_sweeps, "./r.nwb: has no current-clamp sweeps", "it holds nothing"),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings(name, tiny, refused, tmp_path):
    file, content, *parts = RECORDINGS[name]
    if callable(content):
        content(tmp_path / file)
    elif content is not None:
        (tmp_path / file).write_text(content)
    fit = tiny((STATISTICS, f'[targets.step]\nrecordings = "{file}"\n'), (FEATURES, 'features = ["AP_amplitude"]'))
    says(refused("fit", fit), *parts)


@pytest.mark.parametrize(
    ("content", "part"),
    [("time_ms,current_nA\n0,0\n", "./w.csv: has 1 samples"), ("time_ms,current_nA\n0,0\n1,x\n", "./w.csv: line 3:")],
)
def test_waveform(content, part, tiny, refused, tmp_path):
    (tmp_path / "w.csv").write_text(content)
    step = 'shape = "step", delay_ms = 10, duration_ms = 30, amplitude_nA = 0.2'
    says(refused("fit", tiny((step, 'shape = "file", path = "w.csv"'))), part)


@pytest.mark.parametrize("verb", ["status", "plot"])
def test_a_folder_that_is_no_run(verb, refused, tmp_path):
    says(refused(verb, tmp_path), f"{tmp_path}: no ledger.h5 in this folder; give the folder of a run")
    says(refused(verb, tmp_path / "none"), "./none: no ledger.h5 in this folder")
    (tmp_path / "ledger.h5").write_text("not HDF5")
    says(refused(verb, tmp_path), "./ledger.h5: damaged")


@pytest.fixture
def run(tiny, hpcfit, tmp_path) -> Path:
    """A run of one generation."""
    assert hpcfit("fit", tiny(), "--run", "run", "--generations", 1).code == 0
    return tmp_path / "run"


def test_a_run_of_other_settings(tiny, run, refused):
    line = refused("fit", tiny(("[2, 0.5]", "[3, 0.5]")), "--run", run)
    says(line, "./run: its run was started with", "targets.step.statistics.soma.Spikecount[0] = 2.0", "has 3.0; undo")
    line = refused("fit", tiny(("seed = 3", "seed = 4")), "--run", run)
    says(line, "./run: its run was started with run.seed = 3, the fit file now has 4; undo the change, or choose")


def test_a_run_of_another_morphology(tiny, run, refused, tmp_path):
    file = tiny()
    (tmp_path / "ball.swc").write_text((tmp_path / "ball.swc").read_text().replace("208", "209"))
    says(refused("fit", file, "--run", run), "./run: its run was started with another content of ball.swc; restore")


def test_a_run_of_a_newer_hpcfit(tiny, run, refused):
    with h5py.File(run / "ledger.h5", "r+") as file:
        file.attrs["schema"] = SCHEMA + 1
    for arguments in (("fit", tiny(), "--run", run), ("status", run), ("plot", run)):
        says(
            refused(*arguments), f"./run/ledger.h5: schema {SCHEMA + 1}, this hpcfit reads up to {SCHEMA}; use a newer"
        )


def test_a_run_that_another_process_runs(tiny, run, refused):
    holder = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout and other.stdout.readline()
        before = (run / "ledger.h5").read_bytes()
        line = refused("fit", tiny(), "--run", run)
        other.communicate(b"\n")
    says(line, "./run: another process is running this fit; wait for it, or choose --run")
    assert (run / "ledger.h5").read_bytes() == before


def test_as_a_process_of_its_own(tiny, started, tmp_path):
    process = started("fit", tiny(("morphology =", "morpholgy =")))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err == f"hpcfit: {tmp_path}/fit.toml: unknown key cell.morpholgy; did you mean morphology?\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.swc", "fit.toml"]


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[str], Path]]:
    """disk("64k"): a file system of that size; again, to change its size."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(options: str) -> Path:
        again = ["-o", f"remount,{options}"] if os.path.ismount(place) else ["-t", "tmpfs", "-o", options, "tmpfs"]
        done = subprocess.run(["mount", *again, str(place)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        return place

    yield resize
    if os.path.ismount(place):
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_at_the_start(tiny, hpcfit, disk):
    run, file = disk("size=4k") / "run", tiny()
    ended = hpcfit("fit", file, "--run", run)
    assert ended.code == 2
    assert ended.err == (
        f"hpcfit: {run}/ledger.h5: no space left on the device; free some and give the same command to go on\n"
    )
    assert [path.name for path in run.rglob("*") if path.is_file()] in ([], ["lock"])
    disk("size=2m")
    assert hpcfit("fit", file, "--run", run).code == 0


def test_a_disk_that_fills_in_the_middle(tiny, hpcfit, disk, tmp_path):
    file = tiny(("generations = 3", "generations = 12"))
    assert hpcfit("fit", file, "--run", tmp_path / "whole").code == 0
    run = disk("size=80k") / "run"
    ended = hpcfit("fit", file, "--run", run)
    *generations, last = ended.err.splitlines()
    assert ended.code == 2
    assert last.startswith(f"hpcfit: {run}/") and "no space left on the device; free some and give the same" in last
    kept = Ledger.open(run)
    assert 1 <= len(kept) < 12 and len(generations) in (len(kept), len(kept) - 1)
    assert f"generations:  {len(kept)} of 12" in hpcfit("status", run).out
    disk("size=4m")
    assert hpcfit("fit", file, "--run", run).code == 0
    assert same_numbers(Ledger.open(tmp_path / "whole"), Ledger.open(run)) == []
    assert [line.split()[1] for line in (run / "log.txt").read_text().splitlines()] == [
        f"generation={number}" for number in range(12)
    ]


def test_a_disk_too_small_for_the_results(tiny, hpcfit, disk):
    run, file = disk("size=120k") / "run", tiny()
    ended = hpcfit("fit", file, "--run", run)
    assert ended.code == 2 and "no space left on the device" in ended.err.splitlines()[-1]
    assert "stopped" in hpcfit("status", run).out  # every generation is there, the results are not
    disk("size=4m")
    assert hpcfit("fit", file, "--run", run).code == 0
    assert "finished" in hpcfit("status", run).out


def test_a_disk_that_cannot_be_written(tiny, refused, disk):
    place, file = disk("ro"), tiny()
    says(refused("fit", file, "--run", place / "run"), "./disk/run: cannot be written: Read-only file system")
    says(refused("fit", file, "--run", place), "./disk/lock: cannot be written: Read-only file system")
