"""Requirements of ``speu eval``: refused before anything is loaded, and told to machines afterwards."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_file
from speu_cli.checkpoints.load import read_config
from speu_cli.data.columns import DataChoice
from speu_cli.evaluation.definitions import needs
from speu_cli.evaluation.gates import Gate, GateResult, parse
from speu_cli.evaluation.requirements.junit import junit
from speu_cli.evaluation.requirements.known import require_possible, understood
from speu_cli.evaluation.requirements.policy import read_policy
from speu_cli.stages.attack_choice import AttackChoice
from speu_cli.tasks.registry import find_task
from speu_cli.tasks.settings import EncodingSettings, merge_choice


def read_requirements(expressions: Iterable[str], policy: Path | None) -> list[Gate]:
    """Read all requirements, those of the policy first.

    Args:
        expressions: Such as ``testing_accuracy>=84%``.
        policy: TOML file of further ones.

    Returns:
        Gates on metrics that there are, with bounds in their units.
    """
    of_policy = [] if policy is None else read_policy(policy)
    return [*of_policy, *(understood(parse(one)) for one in expressions)]


def given_options(
    original: Path | None,
    references: int,
    generate: int | None,
    perturbed: Mapping[str, str],
    attacks: AttackChoice,
) -> set[str]:
    """Gather what an evaluation is given, by the names of what metrics need.

    Args:
        original: The model before, if it is given.
        references: Number of retrained models.
        generate: Tokens of an answer; None: none is generated.
        perturbed: Sources of questions with wrong answers, by set.
        attacks: Which are tried.

    Returns:
        The options.
    """
    whether = {
        needs.ORIGINAL: original is not None,
        needs.REFERENCE: references > 0,
        needs.SECOND_REFERENCE: references > 1,
        needs.GENERATE: generate is not None,
        needs.RELEARN: attacks.relearn is not None,
        needs.PARAPHRASES: attacks.paraphrases is not None,
    }
    named = {*map(needs.perturbed, perturbed), *map(needs.quantize, attacks.quantize)}
    return named | {option for option, given in whether.items() if given}


def require_measurable(
    gates: Sequence[Gate],
    model: Path,
    choice: DataChoice,
    recorded: EncodingSettings | None,
    given: Collection[str],
) -> None:
    """Refuse requirements on what will not be measured; the model's weights are not read.

    Args:
        gates: From `read_requirements`.
        model: Folder of the model.
        choice: How its examples are read.
        recorded: What the models record of that.
        given: From `given_options`.
    """
    if gates:
        task = find_task(read_config(model), merge_choice(choice, recorded, str(model)).task)
        require_possible(gates, task.name, given)


def write_junit(
    target: Path, gates: Sequence[GateResult], *, model: Path, seconds: float, force: bool
) -> None:
    """Write what became of the requirements as JUnit XML.

    Args:
        target: File to write.
        gates: The outcomes.
        model: Folder of the model.
        seconds: Time of the evaluation.
        force: Replace an existing file.
    """
    with atomic_file(target, force=force) as temporary:
        temporary.write_bytes(junit(gates, model=str(model), seconds=seconds))
