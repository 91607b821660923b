"""A training on disk: weights by name and optimiser moments in one safetensors file, the rest in its head as JSON.

Nothing is pickled; other tools read `weights/...` by name.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hpcfit.errors import LedgerError
from hpcfit.lfads.settings import HyperSettings
from hpcfit.lfads.training import Member, Progress
from hpcfit.population.files import replacing

SCHEMA = 1


def save(path: Path, member: Member) -> None:
    """Write a member whole, or not at all.  Raises StorageError."""
    places = member.places
    tensors = {}
    for group, flat in (("weights", member.flat), ("adam_mean", member.adam.mean), ("adam_square", member.adam.square)):
        views = places.views(flat.detach().cpu())
        tensors |= {f"{group}/{name}": view.contiguous() for name, view in views.items() if view.numel()}
    head = {
        "schema": SCHEMA,
        "hyper": member.hyper.model_dump(),
        "progress": asdict(member.progress),
        "adam_steps": member.adam.steps,
        "shapes": {one.name: list(one.shape) for one in places},
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"hpcfit": json.dumps(head)})


def read_head(path: Path) -> dict[str, Any]:
    """Hyperparameters, progress and shapes, without the weights.

    Raises
    ------
    LedgerError
        When it is no checkpoint, or not whole, or of a newer version.
    """
    try:
        with safe_open(path, "pt") as file:
            head = json.loads((file.metadata() or {})["hpcfit"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise LedgerError(f"{path}: no checkpoint that can be read: {error}") from None
    if head["schema"] > SCHEMA:
        raise LedgerError(f"{path}: written by a newer hpcfit (schema {head['schema']}); update hpcfit")
    return head


def load(path: Path, member: Member) -> None:
    """Make a member what the checkpoint holds, in place.

    Raises
    ------
    LedgerError
        When it cannot be read, or is of a model of other sizes: the first weight that differs.
    """
    head = read_head(path)
    shapes = {one.name: list(one.shape) for one in member.places}
    for name in sorted(set(shapes) | set(head["shapes"])):
        if shapes.get(name) != head["shapes"].get(name):
            raise LedgerError(
                f"{path}: its weight {name} has shape {head['shapes'].get(name)}, this model {shapes.get(name)}; the "
                "settings or the data have changed: choose another run folder"
            )
    groups = {"weights": member.flat, "adam_mean": member.adam.mean, "adam_square": member.adam.square}
    try:
        with safe_open(path, "pt") as file, torch.no_grad():
            for group, flat in groups.items():
                for name, view in member.places.views(flat).items():
                    if view.numel():
                        view.copy_(file.get_tensor(f"{group}/{name}"))
    except (SafetensorError, OSError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from None
    member.hyper = HyperSettings.model_validate(head["hyper"])
    member.progress = Progress(**head["progress"])
    member.adam.steps = head["adam_steps"]
