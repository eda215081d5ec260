"""What the request changed that made a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Forgetting:
    """What a request changed, from the record in the model's folder.

    Attributes:
        method: Of unlearning.
        selected: Units that could change, of all units, by kind; None where all parameters could.
        parameters_changed: Parameter entries that could change; None of records that do not tell.
        parameters_total: Parameter entries of the model.
        bytes_written: Size of the folder's files.
    """

    method: str
    selected: dict[str, tuple[int, int]] | None
    parameters_changed: int | None
    parameters_total: int
    bytes_written: int
