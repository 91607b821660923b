"""What does a training's best model make of its data?  RUN/posterior.h5, at its end or by `hpcfit infer`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcfit.config import validate
from hpcfit.errors import LedgerError
from hpcfit.jobs.folder import INPUTS_FOLDER, json_settings
from hpcfit.jobs.training.folder import SCHEMA, hash_of
from hpcfit.jobs.training.load import session_of
from hpcfit.lfads import checkpoint
from hpcfit.lfads.data.trials import Session
from hpcfit.lfads.posterior import Request, write_posterior
from hpcfit.lfads.settings import LfadsSettings
from hpcfit.lfads.training import Member
from hpcfit.population.files import one_at_a_time
from hpcfit.report.posterior_view import FILE, open_posterior


@dataclass(frozen=True)
class TrainedRun:
    """A training's folder, opened again: its settings and the data it was trained on."""

    folder: Path
    settings: LfadsSettings
    session: Session
    data: str
    """Hash of the data."""


def open_training(folder: str | Path) -> TrainedRun:
    """Read RUN/training.json and the data that it names.

    Raises
    ------
    LedgerError
        When the folder holds no training, one of a newer hpcfit, or its data are no longer the same.
    InputError, ConfigError
        When the data cannot be read.
    """
    folder = Path(folder)
    path = folder / "training.json"
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        tables, data, schema = head["settings"], head["data"], head["schema"]
    except FileNotFoundError:
        raise LedgerError(f"{folder}: no training is in it (no training.json); `hpcfit train FILE` makes one") from None
    except (OSError, ValueError, KeyError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from None
    if schema > SCHEMA:
        raise LedgerError(f"{folder}: written by a newer hpcfit; update hpcfit")
    settings = validate(LfadsSettings, tables, path, Path(head.get(INPUTS_FOLDER, ".")))
    session = session_of(settings)
    if (now := data_hash(session)) != data:
        raise LedgerError(
            f"{folder}: its data have changed since it was trained (hash {data[:12]}, now {now[:12]}); restore them"
        )
    return TrainedRun(folder, settings, session, data)


def infer(folder: str | Path, changed: Mapping[str, Any] = MappingProxyType({})) -> Path:
    """Write RUN/posterior.h5 from the best checkpoint; changed: keys of [posterior] and their values.

    Raises
    ------
    LedgerError
        When the folder holds no training, none that has finished an epoch, or one of other data.
    StorageError
        When the file cannot be written; an older one stays.
    """
    run = open_training(folder)
    posterior = run.settings.posterior.model_validate({**run.settings.posterior.model_dump(), **dict(changed)})
    return infer_into(run.folder, run.settings.model_copy(update={"posterior": posterior}), run.session, run.data)


def infer_into(
    folder: Path, settings: LfadsSettings, session: Session, data: str, whatever_samples: bool = False
) -> Path:
    """Write the posterior of the best checkpoint in the folder, if the one that is there is not of it already.

    whatever_samples: one of that checkpoint will do, however many samples and arrays it has.
    """
    best, target = folder / "best.safetensors", folder / FILE
    if not best.exists():
        raise LedgerError(f"{folder}: no epoch has been finished yet (no best.safetensors); train on")
    wanted = settings.posterior
    with one_at_a_time(folder / ".posterior.lock"):
        member = Member.fresh(settings, session)
        checkpoint.load(best, member)
        provenance = {
            "checkpoint": best.name,
            "checkpoint_sha256": hashlib.sha256(best.read_bytes()).hexdigest(),
            "epochs": member.progress.epoch,
            "data": data,
        }
        asked = {"samples": wanted.samples, "generator_states": wanted.generator_states}
        if not _is_there(target, provenance | ({} if whatever_samples else asked)):
            more = {
                **provenance,
                "generator_states": wanted.generator_states,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "hpcfit": _version(),
                "settings": json.dumps(json_settings(settings, folder)),
            }
            write_posterior(target, member, session, Request(wanted.samples, wanted.generator_states), more)
    return target


def data_hash(session: Session) -> str:
    """Of what is trained and validated on."""
    return hash_of((session.train.encod, session.train.recon, session.valid.encod, session.valid.recon))


def _is_there(path: Path, wanted: Mapping[str, Any]) -> bool:
    try:
        with open_posterior(path) as view:
            return all(view.attributes.get(name) == value for name, value in wanted.items())
    except LedgerError:
        return False


def _version() -> str:
    from hpcfit import __version__

    return __version__
