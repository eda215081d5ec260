"""What a training-based method reads: its sets of examples, and the reference values of the forget set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from speu_cli.artifacts.atomic import check_output
from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.data.examples import Examples
from speu_cli.data.ids import forget_and_remaining, read_ids
from speu_cli.errors import InputError
from speu_cli.stages.session import Session
from speu_cli.tasks.encoded import Encoded
from speu_cli.unlearning.objectives.base import Objective, Set
from speu_cli.unlearning.other_answers import OtherAnswers
from speu_cli.unlearning.reference import (
    Reference,
    ReferenceOrigin,
    log_likelihoods,
    read_reference,
    write_reference,
)


@dataclass(frozen=True)
class RequestSets:
    """A request, as a training reads it.

    Attributes:
        forgotten: D_f.
        remaining: D_r.
        answers: D_f with other answers; None where they are not needed.
        answers_digest: Of the list of these; None likewise.
    """

    forgotten: Examples
    remaining: Examples
    answers: Examples | None
    answers_digest: str | None

    @property
    def forget_record(self) -> dict[str, Any]:
        """Number of the forget examples and a hash of their ids."""
        ids = sorted(self.forgotten.ids)
        return {"count": len(ids), "ids_sha256": hash_text(canonical_json(ids))}

    def encode(self, session: Session, objective: Objective) -> dict[Set, Encoded]:
        """Encode the sets that the objective reads, and always those to forget."""
        of_sets: Mapping[Set, Examples | None] = {
            "forget": self.forgotten,
            "remaining": self.remaining,
            "answers": self.answers,
        }
        return {
            name: session.encode(examples)
            for name, examples in of_sets.items()
            if examples is not None and (name == "forget" or name in objective.reads)
        }


def open_sets(
    session: Session, training: Examples, forget: str, objective: Objective, answers: OtherAnswers | None
) -> RequestSets:
    """Split the training set, and give the forget set other answers where the objective wants them.

    Args:
        session: Its task says whether it has answers.
        training: D.
        forget: Id list of the forget set.
        objective: Says what it reads.
        answers: A list of other answers. Default: that of the package.

    Returns:
        The sets.

    Raises:
        InputError: The objective wants other answers, and the task's model does not write any.
    """
    with_answers = "answers" in objective.reads
    if with_answers and not session.task.generative:
        raise InputError(
            f"DPO teaches a model to write another answer, and the task here is {session.task.name}, "
            "expected one whose label is a text that the model writes",
            hint="take --method npo, which needs no other answer",
        )
    forgotten, remaining = forget_and_remaining(training, read_ids(forget), forget)
    if not with_answers:
        return RequestSets(forgotten, remaining, None, None)
    if any(one.label is None for one in forgotten):
        raise InputError(
            f"DPO puts another answer after a prompt, and {training.source} holds texts without prompts",
            hint="take --method npo, which needs no other answer",
        )
    answers = answers or OtherAnswers()
    return RequestSets(forgotten, remaining, answers.given_to(forgotten), answers.digest)


def check_reference_output(reference: Path | None) -> None:
    """Refuse a reference file that is not there and could not be written, before any work is done."""
    if reference is not None and not reference.exists():
        check_output(reference, force=False, folder=False)


def settle_reference(
    session: Session,
    sets: RequestSets,
    encoded: Mapping[Set, Encoded],
    path: Path | None,
    *,
    write: bool,
) -> Reference:
    """Read reference values, or compute them with the model as it is.

    Args:
        session: The original model.
        sets: The request.
        encoded: Its sets.
        path: A file of such values, or where to keep them. Default: they are not kept.
        write: Keep them.

    Returns:
        The values of the forget set, and of its other answers if there are any.
    """
    settings = session.settings(sets.forgotten).to_record()
    origin = ReferenceOrigin(session.checkpoint.identity, settings, sets.answers_digest)
    rows = encoded["forget"].keys
    if path is not None and path.exists():
        return read_reference(path, rows, origin)
    names: list[Set] = [name for name in encoded if name != "remaining"]
    values = {name: _log_likelihoods(session, encoded[name]) for name in names}
    if path is None or not write:
        return Reference(values)
    return Reference(values, write_reference(path, values, rows, origin))


def _log_likelihoods(session: Session, encoded: Encoded) -> Tensor:
    return log_likelihoods(
        session.checkpoint.model,
        session.task,
        encoded,
        batch_tokens=session.runtime.batch_tokens,
        progress=session.runtime.progress,
    )
