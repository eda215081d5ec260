"""Log-likelihoods of the forget set under the original model: what NPO and DPO compare with.

They are computed once and kept, so that no second model is in memory, and can be used again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speu_cli.artifacts.digest import canonical_json
from speu_cli.artifacts.format import Record, library_versions, read_artifact, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError
from speu_cli.progress import Progress
from speu_cli.tasks.base import Task
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.outcomes import losses
from speu_cli.unlearning.objectives.base import Set

KIND = "reference"
PREFIX = "log_likelihoods/"


@dataclass(frozen=True)
class ReferenceOrigin:
    """What reference values depend on.

    Attributes:
        model: Who the original model is.
        encoding: How examples become inputs, as JSON values.
        answers: Digest of the list of other answers; None where there are none.
    """

    model: ModelIdentity
    encoding: Record
    answers: str | None


@dataclass(frozen=True)
class Reference:
    """Log-likelihoods under the original model.

    Attributes:
        values: Of each set, float32 ``[n]``.
        digest: Of the file that holds them; None where none does.
    """

    values: Mapping[Set, Tensor]
    digest: str | None = None


def log_likelihoods(
    model: PreTrainedModel,
    task: Task,
    encoded: Encoded,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
) -> Tensor:
    """Σ log p of the terms of each example, in eval mode.

    Args:
        model: The original model.
        task: Gives the losses and their sizes.
        encoded: The examples.
        batch_tokens: Tokens in a padded batch.
        progress: Is told of every batch. Default: nobody.

    Returns:
        float32 ``[n]``, as they are kept.
    """
    found = losses(
        model, task, encoded, batch_tokens=batch_tokens, progress=progress, description="reference"
    )
    sizes = torch.empty(len(encoded), dtype=torch.float64)
    for indices in encoded.batches(batch_tokens):
        sizes[indices] = task.sizes(encoded.collate(indices)[1]).to(sizes)
    return (-torch.from_numpy(found) * sizes).float()


def write_reference(path: Path, values: Mapping[Set, Tensor], rows: Tensor, origin: ReferenceOrigin) -> str:
    """Write reference values.

    Args:
        path: File to write; it is not there yet.
        values: Log-likelihoods ``[n]`` of the forget set, and of its other answers if there are any.
        rows: Hashes of the forget set's rows, int64 ``[n]``.
        origin: What they depend on.

    Returns:
        The digest of the content.
    """
    tensors = {"rows": rows} | {PREFIX + name: of_set for name, of_set in values.items()}
    return write_artifact(path, KIND, _record(origin, len(rows)), tensors, force=False)


def read_reference(path: Path, rows: Tensor, origin: ReferenceOrigin) -> Reference:
    """Read reference values of a forget set.

    Args:
        path: File to read.
        rows: Hashes of the forget set's rows, int64 ``[n]``.
        origin: The model, encoding and answers at hand.

    Returns:
        They, in the order of ``rows``.

    Raises:
        ArtifactError: The file is of another model, other examples, another encoding or other answers.
    """
    artifact = read_artifact(path, KIND)
    record, tensors = artifact.record, artifact.tensors
    names: list[Set] = ["forget"] if origin.answers is None else ["forget", "answers"]
    try:
        origin.model.require_same(ModelIdentity(**record["model"]), str(path))
        _require_same_settings(path, record, origin)
        position = {row: number for number, row in enumerate(tensors["rows"].tolist())}
        columns = {name: tensors[PREFIX + name] for name in names}
        missing = sum(row not in position for row in rows.tolist())
        if missing:
            raise ArtifactError(
                f"{path} is of other examples: it lacks {missing} of the {len(rows)} to forget, or they "
                "have another id, text or label",
                hint="name another file, which is then written",
            )
        chosen = [position[row] for row in rows.tolist()]
        return Reference({name: column[chosen] for name, column in columns.items()}, artifact.digest)
    except (KeyError, TypeError, IndexError) as error:
        raise ArtifactError(f"{path} is not a complete reference: {error!r}") from error


def _require_same_settings(path: Path, record: Mapping[str, Any], origin: ReferenceOrigin) -> None:
    """Refuse values that were computed in another way.

    Args:
        path: Where they were read from.
        record: What it says.
        origin: The encoding and answers at hand.

    Raises:
        ArtifactError: They are not the same.
    """
    hint = "name another file, which is then written"
    if canonical_json(record["encoding"]) != canonical_json(origin.encoding):
        differing = [key for key, value in origin.encoding.items() if record["encoding"].get(key) != value]
        raise ArtifactError(
            f"{path} was made with another encoding: {', '.join(differing) or 'more settings'} differ",
            hint=hint,
        )
    if origin.answers is not None and record["answers"] != origin.answers:
        held = "no other answers" if record["answers"] is None else "another list of answers"
        raise ArtifactError(f"{path} was made with {held}, expected those of this run", hint=hint)


def _record(origin: ReferenceOrigin, count: int) -> Record:
    return {
        "model": asdict(origin.model),
        "encoding": origin.encoding,
        "answers": origin.answers,
        "data": {"count": count},
        "versions": library_versions(),
    }
