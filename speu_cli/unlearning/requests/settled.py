"""What is settled for all requests of a state when it is made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from speu_cli.artifacts.digest import hash_text
from speu_cli.errors import ArtifactError, InputError

FORMAT_VERSION = 1
SETTINGS = "state.json"
MAX_SETTINGS = 2**20

Mode = Literal["aided", "free"]


@dataclass(frozen=True)
class StateSettings:
    """What is settled when a state is made, and never changes.

    Attributes:
        model: Folder of θ*.
        identity: Who θ* is, as JSON values.
        fisher: Its statistics file.
        statistics: Digest of that.
        data: The training set.
        split: Which split of it, if it has several.
        examples: n_D.
        holdout: Examples never trained on whose losses are watched, if there are any.
        mode: ``aided``: all at θ*, with the sums of the forgotten; ``free``: each from the last model.
        max_examples: With ``free``, most remaining examples that statistics are computed of; None: all.
        method: Method, mask and step, as JSON values.
        retrain_when: Thresholds at which the model is to be retrained.
        salt: Fingerprint of the salt.
        continues: Head of the ledger that this one follows, after a retraining.
    """

    model: str
    identity: Mapping[str, str]
    fisher: str
    statistics: str
    data: str
    split: str | None
    examples: int
    holdout: str | None
    mode: Mode
    max_examples: int | None
    method: Mapping[str, Any]
    retrain_when: Sequence[str]
    salt: str
    continues: str | None

    def text(self) -> str:
        """The file that holds them."""
        fields = {"format": "speu-state", "version": FORMAT_VERSION, **asdict(self)}
        return json.dumps(fields, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @property
    def digest(self) -> str:
        """Names them in the ledger."""
        return hash_text(self.text())


def read_settings(folder: Path) -> StateSettings:
    """Read what a state was made with.

    Args:
        folder: The state.

    Returns:
        The settings.

    Raises:
        InputError: There is no state.
        ArtifactError: They are not readable, or of another version.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise InputError(f"{folder} is not a state of requests", hint="make one with 'speu requests init'")
    with path.open("rb") as file:
        content = file.read(MAX_SETTINGS)
    try:
        fields = dict(json.loads(content))
        kind, version = fields.pop("format"), fields.pop("version")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not readable: {error}") from error
    if kind != "speu-state" or version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path} is {str(kind)[:20]!r} version {str(version)[:20]}, this speu reads 'speu-state' "
            f"version {FORMAT_VERSION}",
            hint="use the speu that wrote it",
        )
    try:
        settings = StateSettings(**fields)
        # Byte for byte: no type in it can be another one than was written.
        intact = settings.text().encode() == content
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not complete: {error}") from error
    if not intact:
        raise ArtifactError(f"{path} is not what was written: it was changed")
    return settings
