"""A BluePyOpt model becomes a valid fit file that means the same; what cannot be translated is told."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hpcfit.biophys.bluepyopt import import_model
from hpcfit.biophys.expression import evaluate
from hpcfit.biophys.settings import FitSettings
from hpcfit.biophys.targets import build_targets
from hpcfit.config import validate
from hpcfit.errors import ConfigError, InputError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
L5PC = SHARED / "bluepyopt_l5pc"

MECHANISMS = {"all": ["pas"], "somatic": ["hh"], "apical": ["Ih"]}
PARAMETERS = [
    {"param_name": "v_init", "type": "global", "value": -70},
    {"param_name": "celsius", "type": "global", "value": 34},
    {"param_name": "cm", "sectionlist": "all", "type": "section", "dist_type": "uniform", "value": 1},
    {"param_name": "cm", "sectionlist": "apical", "type": "section", "dist_type": "uniform", "value": 2},
    {
        "param_name": "gnabar_hh",
        "sectionlist": "somatic",
        "type": "range",
        "dist_type": "uniform",
        "bounds": [0.05, 0.5],
    },
    {
        "param_name": "gIhbar_Ih",
        "sectionlist": "apical",
        "type": "range",
        "dist_type": "exp",
        "dist": "(-0.8696 + 2.087*math.exp(({distance})*0.0031))*{value}",
        "bounds": [0, 1e-4],
    },
]
STEP = {"delay": 100, "amp": 0.5, "duration": 200, "totduration": 400}
HOLDING = {"delay": 0, "amp": -0.1, "duration": 400, "totduration": 400}
PROTOCOLS = {"Step 1": {"stimuli": [STEP, HOLDING]}}
FEATURES = {"Step 1": {"soma": {"Spikecount": [3, 1], "AP_height": [20.0, 5.0]}}}


@pytest.fixture
def make_model(tmp_path):
    """A folder with a model's JSON files, any of them replaced, or left out by None."""

    def make(**files: Any) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "cell.swc").write_text("1 1 0 0 0 8 -1\n")
        contents = {"mechanisms": MECHANISMS, "parameters": PARAMETERS, "protocols": PROTOCOLS, "features": FEATURES}
        for name, content in (contents | files).items():
            if content is not None:
                (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return make


def imported(folder: Path, **options: Any) -> tuple[FitSettings, str]:
    text, notes = import_model(folder, folder, **options)
    return validate(FitSettings, tomllib.loads(text), "imported", folder), "\n".join(notes)


def parameters_of(fit: FitSettings) -> dict[str, Any]:
    return {each.name: each.value if each.bounds is None else each.bounds for each in fit.parameters}


def test_a_model_is_translated_whole(make_model):
    fit, notes = imported(make_model())
    assert fit.name == "model" and fit.cell.morphology.name == "cell.swc" and fit.cell.morphology.is_file()
    assert (fit.cell.v_init_mV, fit.cell.celsius) == (-70, 34)
    assert fit.cell.regions == {"all": ("pas",), "somatic": ("hh",), "apical": ("Ih",)}
    # In the file's order: the apical cm comes after, and so before, the cm of all.
    assert list(parameters_of(fit)) == ["cm.all", "cm.apical", "gnabar_hh.somatic", "gIhbar_Ih.apical"]
    assert parameters_of(fit)["gnabar_hh.somatic"] == (0.05, 0.5)

    (stimulus,) = fit.stimuli
    assert (stimulus.name, stimulus.duration_ms, stimulus.holding_nA, stimulus.window) == (
        "Step_1",
        400,
        -0.1,
        (100, 300),
    )
    assert [electrode.amplitude_nA for electrode in stimulus.electrodes] == [0.5]
    terms = [(term.name, term.mean, term.sd) for term in build_targets(fit).terms]
    assert terms == [("Step_1.soma.Spikecount", 3, 1), ("Step_1.soma.AP_height", 20, 5)]
    assert fit.engine.integrator == "cvode"
    assert "no folder of .mod files" in notes


def test_a_distribution_means_what_it_meant(make_model):
    fit, _ = imported(make_model())
    text = fit.parameters[-1].distribution
    assert evaluate(text, {"value": 2.0, "distance": 300.0}) == pytest.approx(2 * (-0.8696 + 2.087 * 2.718281828**0.93))


@pytest.mark.parametrize("formula", ["open('x')", "{value} * unknown", "{value} * math.gamma({distance})"])
def test_a_distribution_that_is_not_understood_is_an_error(make_model, formula):
    parameters = [*PARAMETERS[:-1], {**PARAMETERS[-1], "dist": formula}]
    with pytest.raises(ConfigError, match=r"parameters\.json: distribution of gIhbar_Ih: .* not understood"):
        import_model(make_model(parameters=parameters))


def test_paths_are_relative_to_where_the_file_is_saved(make_model, tmp_path):
    folder = make_model()
    (tmp_path / "mods").mkdir()
    text, _ = import_model(folder, tmp_path / "fits", mechanisms=tmp_path / "mods", name="mine")
    tables = tomllib.loads(text)
    assert tables["cell"]["morphology"] == "../model/cell.swc" and tables["cell"]["mechanisms"] == "../mods"
    assert tables["name"] == "mine"
    assert Path(tomllib.loads(import_model(folder)[0])["cell"]["morphology"]).is_absolute()


def test_parameters_of_one_name_are_told_apart(make_model):
    fit, _ = imported(make_model(parameters=[*PARAMETERS, PARAMETERS[2]]))
    assert list(parameters_of(fit)).count("cm.all") == 1 and list(parameters_of(fit))[-1] == "cm.all.2"


def test_several_pulses_become_several_electrodes(make_model):
    second = {"delay": 350, "amp": 0.2, "duration": 100, "totduration": 400}
    fit, notes = imported(make_model(protocols={"Step 1": {"stimuli": [STEP, HOLDING, second, HOLDING]}}))
    (stimulus,) = fit.stimuli
    assert stimulus.holding_nA == pytest.approx(-0.2)
    pulses = [(each.delay_ms, each.duration_ms, each.amplitude_nA) for each in stimulus.electrodes]
    assert pulses == [(100, 200, 0.5), (350, 50, 0.2)]
    assert "cut to 50 ms" in notes


def test_dendritic_recordings_become_sites(make_model):
    dend = {"var": "v", "type": "somadistance", "somadistance": 660, "name": "dend1", "seclist_name": "apical"}
    other = {"bAP": {"stimuli": [STEP], "extra_recordings": [{**dend, "somadistance": 100}]}}
    protocols = {
        "Step 1": {"stimuli": [STEP], "extra_recordings": [dend, {**dend, "var": "cai", "name": "ca"}]},
        **other,
    }
    features = {
        "Step 1": {"dend1": {"maximum_voltage": [10, 5]}, "Step 1.soma.v": {"Spikecount": [3, 1]}},
        "bAP": {"dend1": {"maximum_voltage": [20, 5]}},
    }
    fit, notes = imported(make_model(protocols=protocols, features=features))
    sites = {site.name: (site.region, site.distance_um, site.branch, site.threshold_mV) for site in fit.sites}
    assert sites == {"dend1": ("apical", 660, "last", -55), "dend1.bAP": ("apical", 100, "last", -55)}
    names = {term.name for term in build_targets(fit).terms}
    assert names == {"Step_1.dend1.maximum_voltage", "Step_1.soma.Spikecount", "bAP.dend1.bAP.maximum_voltage"}
    assert fit.stimuli[1].window == (100, 400)  # the example's convention for bAP
    assert "recording ca of cai" in notes


def test_what_cannot_be_translated_is_noted(make_model):
    features = {
        "Step 1": {
            "soma": {"Spikecount": [3, 1], "NoSuchFeature": [1, 1], "AP_height": [20, 0]},
            "axon": {"AP_height": [1, 1]},
        },
        "Step 9": {"soma": {"AP_height": [1, 1]}},
    }
    protocols = {**PROTOCOLS, "Idle": {"stimuli": [STEP]}, "Ramp": {"type": "RampProtocol", "stimuli": [STEP]}}
    fit, notes = imported(make_model(protocols=protocols, features=features))
    assert len(build_targets(fit).terms) == 1 and [stimulus.name for stimulus in fit.stimuli] == ["Step_1"]
    for said in (
        "NoSuchFeature is left out: eFEL has no such feature",
        "AP_height is left out: its sd is 0",
        "Step 1.axon.AP_height is left out: nothing is recorded there",
        "Step 9.soma.AP_height is left out: there is no such protocol",
        "protocol Idle is left out; no feature",
        "protocol Ramp of type 'RampProtocol' is left out",
    ):
        assert said in notes


# Other layouts


def test_the_older_layout_gives_the_same_parameters(make_model):
    fixed = {
        "global": [["v_init", -70], ["celsius", 34]],
        "all": [["cm", 1, "uniform"]],
        "apical": [["cm", 2, "uniform"]],
    }
    free = {"somatic": [["hh", "gnabar", 0.05, 0.5, "uniform"]], "apical": [["Ih", "gIhbar", 0, 1e-4, "exp"]]}
    old, notes = imported(make_model(parameters=None, params=free, fixed_params=fixed))
    assert "distribution exp is" in notes
    assert (old.cell.v_init_mV, old.cell.celsius) == (-70, 34)
    new, _ = imported(make_model())
    assert parameters_of(old) == parameters_of(new)
    assert old.parameters[-1].distribution == new.parameters[-1].distribution


def test_the_layout_of_bluepyemodel_is_read(make_model):
    params = {
        "mechanisms": {"all": {"mech": ["pas"]}, "somadend": {"mech": ["Ih"]}, "myelinated": {"mech": ["pas"]}},
        "distributions": {"decay": {"fun": "math.exp({distance}*{constant})*{value}", "parameters": ["constant"]}},
        "parameters": {
            "__comment": "values, and bounds as lists",
            "global": [{"name": "v_init", "val": -80}, {"name": "celsius", "val": 34}],
            "distribution_decay": [{"name": "constant", "val": -0.01}],
            "apical": [{"name": "gIhbar_Ih", "val": [0, 1e-4], "dist": "decay"}],
            "somadend": [{"name": "gIhbar_Ih", "val": 8e-5}],
            "all": [{"name": "g_pas", "val": [1e-5, 6e-5]}],
        },
    }
    settings = {"strict_stiminterval": True, "Threshold": -20.0, "interp_step": 0.025}
    feature = {"protocol_name": "IDrest_150", "recording_name": "soma.v", "efel_settings": settings}
    features = {
        "efeatures": [
            {**feature, "efel_feature_name": "Spikecount", "mean": 10.25, "original_std": 2.9, "weight": 2.0},
            {
                **feature,
                "efel_feature_name": "depol_block_bool",
                "mean": 0.0,
                "original_std": 0.0,
                "default_std_value": 0.01,
            },
            {
                **feature,
                "efel_feature_name": "voltage_base",
                "mean": -80.0,
                "original_std": 0.1,
                "threshold_efeature_std": 0.05,
            },
            {
                **feature,
                "protocol_name": "RMPProtocol",
                "efel_feature_name": "voltage_base",
                "mean": -84,
                "original_std": 1,
            },
        ],
        "protocols": [
            {
                "name": "IDrest_150",
                "stimuli": [{**STEP, "holding_current": -0.03, "thresh_perc": 150}],
                "recordings_from_config": [
                    {"type": "CompRecording", "name": "IDrest_150.soma.v", "location": "soma", "variable": "v"}
                ],
                "protocol_type": "Protocol",
            },
            {"name": "IDrest_300", "stimuli": [{**STEP, "amp": None, "thresh_perc": 300}], "protocol_type": "Protocol"},
        ],
    }
    fit, notes = imported(
        make_model(mechanisms=None, parameters=None, protocols=None, params=params, features=features)
    )
    assert fit.cell.regions == {"all": ("pas",), "somatic": ("Ih",), "apical": ("Ih",), "basal": ("Ih",)}
    # General places first, so that the apical density goes before that of all dendrites.
    assert list(parameters_of(fit)) == ["g_pas.all", "gIhbar_Ih.somatic+apical+basal", "gIhbar_Ih.apical"]
    assert evaluate(fit.parameters[-1].distribution, {"value": 1.0, "distance": 100.0}) == pytest.approx(
        0.36788, abs=1e-5
    )
    assert fit.stimuli[0].holding_nA == -0.03
    assert fit.features.strict_stimulus_interval and fit.features.interpolation_step_ms == 0.025
    terms = {term.feature: (term.mean, term.sd, term.weight) for term in build_targets(fit).terms}
    assert terms == {"Spikecount": (10.25, 2.9, 2), "depol_block_bool": (0, 0.01, 1), "voltage_base": (-80, 4, 1)}
    assert "myelin" in notes and "IDrest_300 is left out" in notes and "RMPProtocol" in notes


def test_lists_of_features_with_settings_are_read(make_model):
    rows = [
        {"feature": "Spikecount", "val": [3, 1], "strict_stim": True},
        {"feature": "AP_height", "val": [20, 5], "strict_stim": True},
        {"feature": "voltage_base", "val": [-70, 1], "strict_stim": False},
    ]
    protocols = {"Step 1": {"type": "StepProtocol", "stimuli": {"step": STEP, "holding": HOLDING}}}
    fit, notes = imported(make_model(protocols=protocols, features={"Step 1": {"soma.v": rows}}))
    assert len(build_targets(fit).terms) == 3 and fit.features.strict_stimulus_interval
    assert fit.stimuli[0].holding_nA == -0.1
    assert "features differ in eFEL's strict_stiminterval" in notes


# Slips


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ({"mechanisms": None}, InputError, r"mechanisms\.json: no such file"),
        ({"features": "{\n 'a'"}, InputError, r"features\.json: not valid JSON: line 2"),
        ({"features": []}, ConfigError, r"features\.json: holds a list, expected a dict"),
        ({"parameters": None}, InputError, "neither parameters.json nor params.json"),
        ({"parameters": [{"value": 1}]}, ConfigError, r"parameters\.json: entry 0 has no param_name"),
        (
            {"parameters": [{"param_name": "cm", "type": "section", "sectionlist": "all"}]},
            ConfigError,
            "neither value nor bounds",
        ),
        (
            {"parameters": [{"param_name": "cm", "type": "section", "sectionlist": "dendrites", "value": 1}]},
            ConfigError,
            "section list 'dendrites' of cm; known: all",
        ),
        (
            {"parameters": [{"param_name": "cm", "type": "section", "sectionlist": "all", "bounds": [1]}]},
            ConfigError,
            r"bounds of cm are \[1\]; expected \[low, high\]",
        ),
        ({"protocols": {"Step 1": {"stimuli": []}}}, ConfigError, "protocol Step 1: has no stimuli"),
        (
            {"protocols": {"Step 1": {"stimuli": [{"delay": 1}]}}},
            ConfigError,
            "protocol Step 1: stimulus .*'amp' is missing",
        ),
        (
            {"features": {"Step 1": {"soma": {"Spikecount": [1]}}}},
            ConfigError,
            r"Spikecount is \[1\]; expected \[mean, sd\]",
        ),
        ({"protocols": {"Step 1": 5}}, ConfigError, "not laid out like BluePyOpt's"),
        ({"parameters": PARAMETERS[:4]}, ConfigError, "no parameter has bounds, so there is nothing to fit"),
    ],
)
def test_files_that_cannot_be_used_are_named(make_model, files, kind, said):
    with pytest.raises(kind, match=said) as caught:
        import_model(make_model(**files))
    assert "\n" not in str(caught.value) and "model" in str(caught.value)


def test_a_folder_without_one_morphology_asks_for_it(make_model, tmp_path):
    folder = make_model()
    (folder / "other.asc").write_text("")
    with pytest.raises(InputError, match=r"needs one morphology .*there are cell\.swc, other\.asc"):
        import_model(folder)
    with pytest.raises(InputError, match="no such folder"):
        import_model(tmp_path / "none")


# The released model of a layer 5 pyramidal cell


@pytest.mark.real
@pytest.mark.skipif(not L5PC.is_dir(), reason=f"{L5PC} is not there")
@pytest.mark.parametrize("older", [False, True])
def test_the_layer_5_cell_has_its_35_objectives_and_20_parameters(older, tmp_path):
    folder = L5PC
    if older:
        folder = tmp_path / "older"
        folder.mkdir()
        for path in L5PC.glob("*.json"):
            if path.name != "parameters.json":
                (folder / path.name).write_bytes(path.read_bytes())
    text, _ = import_model(folder, tmp_path, morphology=SHARED / "morphology" / "C060114A7.asc")
    fit = validate(FitSettings, tomllib.loads(text), "imported", tmp_path)
    free = [each for each in fit.parameters if each.bounds is not None]
    # The older files have narrow bounds where the newer ones fix Ih, in three regions.
    assert len(free) == (23 if older else 20)
    assert fit.cell.morphology == (SHARED / "morphology" / "C060114A7.asc").resolve()
    targets = build_targets(fit)
    assert len(targets.terms) == 35 and not targets.dropped
    means = {term.name: (term.mean, term.sd) for term in targets.terms}
    expected = json.loads((L5PC / "features.json").read_text())
    for stimulus, sites in expected.items():
        for site, features in sites.items():
            for feature, (mean, sd) in features.items():
                assert means[f"{stimulus}.{site}.{feature}"] == (mean, sd)
    assert {stimulus.name: stimulus.window for stimulus in fit.stimuli}["bAP"] == (295, 600)
    assert {site.name: site.distance_um for site in fit.sites} == {"dend1": 660, "dend2": 800}
