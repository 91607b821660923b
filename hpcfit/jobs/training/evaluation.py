"""How good is a trained model, beside the baselines?  RUN/evaluation.json, and RUN/evaluation.h5 for what is drawn."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hpcfit.errors import ConfigError, InputError
from hpcfit.jobs.training.glm import glm_of_held_out
from hpcfit.jobs.training.inference import TrainedRun, infer_into, open_training
from hpcfit.lfads import metrics
from hpcfit.lfads.baselines import BASELINES, fit_baseline
from hpcfit.lfads.baselines.means import ConditionPsth, counts_there
from hpcfit.lfads.data.trials import Session, Trials
from hpcfit.lfads.smoothing import smoothed
from hpcfit.population.files import replacing, write_text
from hpcfit.report.posterior_view import FILE, PosteriorView, open_posterior

SCHEMA = 1
MODEL = "lfads"


@dataclass(frozen=True)
class Asked:
    """What to measure.

    Attributes
    ----------
    baselines
        Names; None: all that the session allows.
    behaviour
        Which signal to decode; None: the only one, or none.
    lag_s
        How much later than the rates the signal is read.
    psth_sd_s
        Kernel that spikes are smoothed with before they become PSTHs; the benchmark's is 0.07 for MC_Maze and
        DMFC_RSG, 0.04 for Area2_Bump.  None: that with which training trials explain validation trials best.
    glm
        Also fit Poisson GLMs of held-out neurons.
    """

    baselines: Sequence[str] | None = None
    behaviour: str | None = None
    lag_s: float = 0.0
    psth_sd_s: float | None = None
    glm: bool = False


Rates = Mapping[str, np.ndarray]
"""By split: (trials, modelled time, neurons)."""


def evaluate(folder: str | Path, asked: Asked = Asked()) -> dict[str, Any]:
    """Measure the run's posterior and the baselines on validation trials; write RUN/evaluation.json and .h5.

    Returns
    -------
    dict
        What evaluation.json holds: `rows`, each with the model's name and its measures; `skipped`, baselines that
        could not be fitted, and why; `measured`, how; `glm`, if asked for.

    Raises
    ------
    LedgerError
        When the folder has no training, or its data have changed.
    ConfigError, InputError
        When a baseline or a signal is asked for that there is not.
    StorageError
        When a file cannot be written.
    """
    run = open_training(folder)
    if run.settings.model.reconstruction != "poisson":
        raise ConfigError(
            f'{folder}: model.reconstruction = "{run.settings.model.reconstruction}": these measures are of spike '
            "counts (Poisson)"
        )
    measures = _Measures(run.session, run.settings.model.ic_window, asked)
    infer_into(run.folder, run.settings, run.session, run.data, whatever_samples=True)
    with open_posterior(run.folder / FILE) as view:
        rates = {part: view.needed(part, "rates") for part in ("train", "valid")}
        rows = [{"model": MODEL, **measures.of(rates)}]
        decoding = measures.decoded(rates)
        glm = {"glm": glm_of_held_out(run.session, view)} if asked.glm else {}
        about = _about(run, asked, view, measures.psth_sd_bins)
    skipped: dict[str, str] = {}
    for name in tuple(BASELINES) if asked.baselines is None else asked.baselines:
        try:
            rows.append(_row(name, run, measures))
        except ConfigError as error:
            if asked.baselines is not None:
                raise
            skipped[name] = str(error)
    found = {"schema": SCHEMA, "rows": rows, "skipped": skipped, "measured": about, **glm}
    _write_decoding(run.folder / "evaluation.h5", decoding)
    write_text(run.folder / "evaluation.json", json.dumps(found, indent=1) + "\n")
    return found


def submission(folder: str | Path, dataset: str, path: Path) -> dict[str, tuple[int, ...]]:
    """Write the run's rates as a submission to the Neural Latents Benchmark; gives the arrays' shapes.

    Evaluated are the test trials where the data have them, else the validation trials.  Raises LedgerError, InputError
    when the rates are not what the benchmark takes, and StorageError.
    """
    with open_posterior(Path(folder) / FILE) as view:
        evaluated = "test" if "test" in view.parts else "valid"
        rates = {"train": view.needed("train", "rates"), "eval": view.needed(evaluated, "rates")}
        return metrics.write_submission(path, dataset, rates, view.seen)


def _row(name: str, run: TrainedRun, measures: "_Measures") -> dict[str, Any]:
    baseline = fit_baseline(name, run.session)
    first = run.settings.model.ic_window
    rates = {
        part: baseline.rates(trials)[:, first:]
        for part, trials in (("train", run.session.train), ("valid", run.session.valid))
    }
    return {"model": name, **measures.of(rates), "chosen": dict(baseline.chosen)}


def _about(run: TrainedRun, asked: Asked, view: PosteriorView, psth_sd_bins: float | None) -> dict[str, Any]:
    wanted = ("samples", "epochs", "checkpoint", "checkpoint_sha256", "data", "created")
    return {
        "on": "validation trials",
        **{name: view.attributes.get(name) for name in wanted},
        "behaviour": asked.behaviour,
        "lag_s": asked.lag_s,
        "psth_sd_bins": psth_sd_bins,
        "name": run.settings.name,
    }


class _Measures:
    """The measures that a session allows, of rates on its validation trials."""

    def __init__(self, session: Session, first: int, asked: Asked) -> None:
        self._session, self._first, self._asked = session, first, asked
        self._counts = np.asarray(counts_there(session.valid)[:, first:], float)
        self._seen = session.neurons[0], session.steps[0] - first
        self._signal = self._chosen_signal()
        self.psth_sd_bins: float | None = None
        self._psth = self._made_psth()

    def of(self, rates: Rates) -> dict[str, float]:
        """Each measure that can be taken, by name."""
        neurons, bins = self._seen
        valid, counts, truth = rates["valid"], self._counts, self._session.valid.truth
        now = counts[:, :bins, :neurons]
        found = {
            "nll": metrics.nll_per_bin(valid[:, :bins, :neurons], now),
            "bits_per_spike": metrics.bits_per_spike(valid[:, :bins, :neurons], now),
        }
        if counts.shape[2] > neurons:
            found["co_bps"] = metrics.bits_per_spike(valid[:, :bins, neurons:], counts[:, :bins, neurons:])
        if counts.shape[1] > bins:
            found["fp_bps"] = metrics.bits_per_spike(valid[:, bins:], counts[:, bins:])
        if truth is not None:
            known = np.where(np.isnan(counts), np.nan, truth[:, self._first :])
            found["rate_r2"] = metrics.rate_r2(valid[:, :bins], known[:, :bins])
        if self._psth is not None:
            psth, trials_of = self._psth
            found["psth_r2"] = metrics.psth_r2(psth, valid[:, :bins], trials_of)
        if self._signal is not None:
            train, valid_pair = (self._paired(rates, part) for part in ("train", "valid"))
            found["velocity_r2"] = metrics.velocity_r2(train, valid_pair)
            found["ole_r2"] = _ole_r2(train, valid_pair)
        return found

    def decoded(self, rates: Rates) -> dict[str, np.ndarray]:
        """Behaviour read from validation rates, and what it was; empty without behaviour."""
        if self._signal is None:
            return {}
        rates_there, signal = self._paired(rates, "valid")
        found, alpha = metrics.decoded(self._paired(rates, "train"), rates_there)
        return {"decoded": found, "signal": signal, "alpha": np.asarray(alpha), "name": np.asarray(self._signal, "S")}

    def _paired(self, rates: Rates, part: str) -> tuple[np.ndarray, np.ndarray]:
        assert self._signal is not None
        signal = self._trials(part).behaviour[self._signal][:, self._first :]
        bins = round(self._asked.lag_s / self._session.bin_s) if self._session.bin_s else 0
        return metrics.lagged(rates[part][:, : self._seen[1]], np.asarray(signal, float), bins)

    def _trials(self, part: str) -> Trials:
        return self._session.train if part == "train" else self._session.valid

    def _chosen_signal(self) -> str | None:
        signals = [name for name, array in self._session.valid.behaviour.items() if array.ndim == 3]
        asked = self._asked.behaviour
        if asked is not None and asked not in signals:
            raise ConfigError(
                f"--behaviour {asked}: the data have no such signal; they have {', '.join(signals) or 'none'}"
            )
        if asked is None and len(signals) > 1:
            raise ConfigError(f"the data have several signals ({', '.join(signals)}); say which with --behaviour")
        if self._asked.lag_s and not self._session.bin_s:
            raise ConfigError("--lag-ms: the data do not say how wide their bins are; set data.bin_s")
        return asked or (signals[0] if signals else None)

    def _made_psth(self) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Means of smoothed spikes by condition, of training and validation trials; validation trials of each."""
        train, valid = self._session.train, self._session.valid
        if train.conditions is None or valid.conditions is None or not (np.asarray(train.conditions) >= 0).any():
            return None
        if train.lengths is not None or valid.lengths is not None:
            return None  # conditions' means would be of other trials in every bin
        bins = self._session.steps[0]
        if (asked := self._asked.psth_sd_s) is None:
            sd = ConditionPsth.fit(self._session).chosen["sd_bins"]
        elif self._session.bin_s is None:
            raise ConfigError("--psth-sd-ms: the data do not say how wide their bins are; set data.bin_s")
        else:
            sd = asked / self._session.bin_s
        self.psth_sd_bins = sd
        counts = np.concatenate([trials.recon[:, :bins] for trials in (train, valid)])
        conditions = np.concatenate([np.asarray(trials.conditions) for trials in (train, valid)])
        psth, wanted = metrics.condition_means(smoothed(counts, sd), conditions)
        trials_of = [np.flatnonzero(np.asarray(valid.conditions) == one) for one in wanted]
        if not any(len(trials) for trials in trials_of):
            return None
        return psth[:, self._first :], trials_of


def _ole_r2(train: tuple[np.ndarray, np.ndarray], valid: tuple[np.ndarray, np.ndarray]) -> float:
    """Of optimal linear estimation; mean over dimensions."""
    found, signal = metrics.LinearEstimator.fit(*train)(valid[0]), valid[1]
    signal = np.where(np.isnan(signal[..., :1]), np.nan, signal)
    residual = np.nansum((found - signal) ** 2, (0, 1))
    return float(np.mean(1.0 - residual / np.nansum((signal - np.nanmean(signal, (0, 1))) ** 2, (0, 1))))


def _write_decoding(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    if not arrays:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["schema"] = SCHEMA
        for name, array in arrays.items():
            file.create_dataset(name, data=array)


def names_of(text: str) -> tuple[str, ...] | None:
    """Baselines from the command line: names with commas; all: None; none: nothing.  Raises ConfigError."""
    if text == "all":
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names == ("none",):
        return ()
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"--baselines {text}: {name!r} is none; there are all, none, {', '.join(BASELINES)}")
    if not names:
        raise InputError("--baselines: give names with commas, or all, or none")
    return names
