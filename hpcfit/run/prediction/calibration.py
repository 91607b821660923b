"""What must be known of a machine and a fit to predict a generation: the calibration file's settings, JSON or TOML."""

import json
from pathlib import Path

from pydantic import Field

from hpcfit.config import Settings, read_toml, validate
from hpcfit.errors import ConfigError
from hpcfit.population.files import write_text
from hpcfit.settings import Count, NonNegative, Positive

SCHEMA = 1


class KernelCosts(Settings):
    """How a rank simulates and reads features."""

    row_s: Positive
    """What an individual takes one worker, all stimuli together, s."""
    workers: Count = 1
    """Of a rank at work side by side: cores, or devices."""
    at_once: Count = 1
    """Individuals that one worker advances together: lanes of a vector, threads of a device."""
    stimuli: Count = 1
    """Pieces of work that such a group of individuals falls into."""
    block_s: NonNegative = 0.0
    """Beside that, of each block of rows that a rank is given, s."""
    block_spread: NonNegative = 0.0
    """Standard deviation of the logarithm of a block's time."""
    rank_spread: NonNegative = 0.0
    """The same of a rank's speed: of nodes that are not alike, for a whole generation."""


class RankZeroCosts(Settings):
    """What rank 0 does alone, s of one core."""

    ask_row_s: NonNegative
    """Making an offspring, and its parameters in their units."""
    tell_row_s: NonNegative
    """Choosing survivors, for each individual."""
    score_row_s: NonNegative
    """Scores from features, for each individual; also what it takes another rank."""
    block_s: NonNegative
    """Dealing a block and putting its answer in its place, without messages."""
    send_s: NonNegative
    receive_s: NonNegative
    byte_s: NonNegative
    """Of each byte sent, received or put in its place."""


class NetworkCosts(Settings):
    """Between two nodes."""

    latency_s: NonNegative = 2e-6
    bandwidth_B_s: Positive = 1e10
    look_s: NonNegative = 1e-3
    """A rank that waits looks for messages at most so far apart: MPI's own waiting would take a core."""


class WriterCosts(Settings):
    """Of the ledger, on the disk that it was measured on."""

    generation_s: NonNegative
    row_s: NonNegative


class SizesOfRows(Settings):
    """Bytes of an individual."""

    sent_B: Count
    features_B: Count
    contributions_B: Count


class Calibration(Settings):
    """A machine and a fit, as the model sees them.  A node has one rank unless said otherwise."""

    schema_: int = Field(SCHEMA, alias="schema")
    fit: str = ""
    machine: str = ""
    measured: str = ""
    """When."""
    per_node: Count = 250
    """Individuals for each node where none are asked for; 250 is what Ladd et al. 2021 took."""
    kernel: KernelCosts
    rank_0: RankZeroCosts
    network: NetworkCosts = NetworkCosts()
    writer: WriterCosts
    sizes: SizesOfRows
    assumed: tuple[str, ...] = ()
    """What was not measured."""


def read_calibration(path: Path) -> Calibration:
    """Raises ConfigError: the file is missing, neither JSON nor TOML, or of other keys or values."""
    if path.suffix == ".toml":
        tables = read_toml(path)
    else:
        try:
            tables = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot be read ({error.strerror}); make one by hpcfit scale calibrate FIT.toml -o {path.name}"
            ) from None
        except ValueError as error:
            raise ConfigError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(tables, dict):
        raise ConfigError(f"{path}: holds no table of keys; make one by hpcfit scale calibrate FIT.toml")
    if tables.get("schema", SCHEMA) != SCHEMA:
        raise ConfigError(f"{path}: schema = {tables['schema']}; this hpcfit reads {SCHEMA}")
    return validate(Calibration, tables, path)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Raises StorageError."""
    write_text(path, json.dumps(calibration.model_dump(by_alias=True, mode="json"), indent=1) + "\n")
