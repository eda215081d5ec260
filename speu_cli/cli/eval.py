"""``speu eval``: what a model still knows, beside the original and the retrained one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speu_cli.cli import values
from speu_cli.cli.attack_options import AttackOptions
from speu_cli.cli.gate_options import GateOptions
from speu_cli.cli.options import (
    DataOption,
    DataOptions,
    ForgetOption,
    ModelArgument,
    RunOptions,
    SeedOption,
    ShowOptions,
    of_input,
    of_method,
    refuse_two_readers_of_stdin,
)
from speu_cli.cli.output import Output
from speu_cli.cli.report_options import ReportOptions
from speu_cli.wording import duration, part_of, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speu_cli.evaluation.forgetting import Forgetting
    from speu_cli.stages.attacks import AttackResult
    from speu_cli.stages.evaluate import EvaluateResult

EXAMPLES = """
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --original model/
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --reference retrained/ \\
      --require 'testing_accuracy>=84%' --require 'gap.average<=2pt' --json
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl \\
      --policy policy.toml --junit gates.xml
  speu eval unlearned/ --data tofu.jsonl --forget ids.txt --test unseen.jsonl --reference retrained/ \\
      --perturbed forget=forget10_perturbed.jsonl --perturbed retain=retain_perturbed.jsonl
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --original model/ \\
      --reference retrained/ --relearn 16 --quantize int8 --quantize int4
  speu eval unlearned/ --data train.jsonl --forget ids.txt --test test.jsonl --original model/ \\
      --reference retrained/ --html report.html --figures figures/
"""


def evaluate(
    *,
    model: ModelArgument,
    data: DataOption,
    forget: ForgetOption,
    test: Annotated[
        str, of_input("--test", metavar="SOURCE", help="Examples that the model was never trained on.")
    ],
    original: Annotated[
        Path | None, of_input("--original", metavar="MODEL", help="The model before unlearning, to compare.")
    ] = None,
    reference: Annotated[
        list[Path] | None,
        of_input(
            "--reference",
            metavar="MODEL",
            help="A model retrained without the examples, to compare; may be repeated, for other seeds.",
        ),
    ] = None,
    exclude: Annotated[
        str | None,
        of_input(
            "--exclude",
            metavar="IDS",
            help="Ids of rows of the data that the model was not trained on; - reads standard input.",
        ),
    ] = None,
    choice: DataOptions,
    max_remaining: Annotated[
        int | None,
        of_method(
            "--max-remaining",
            metavar="N",
            parser=values.whole(least=1),
            help="At most this many of the remaining examples, drawn with --seed.",
        ),
    ] = None,
    generate: Annotated[
        int | None,
        of_method(
            "--generate",
            metavar="N",
            parser=values.whole(least=1),
            help="For causal-lm: also let the model answer in at most N tokens, and compare (rouge_l).",
        ),
    ] = None,
    perturbed: Annotated[
        list[str] | None,
        of_input(
            "--perturbed",
            metavar="SET=SOURCE",
            parser=values.named("forget", "retain", "authors", "facts"),
            help="For causal-lm: questions with perturbed_answer, for the measures of TOFU; SET is forget, "
            "retain, authors or facts; may be repeated.",
        ),
    ] = None,
    attack: AttackOptions,
    seed: SeedOption = 0,
    gate: GateOptions,
    report: ReportOptions,
    show: ShowOptions,
    run: RunOptions,
) -> None:
    """Measure what a model still knows of the forgotten, the remaining and the test examples."""
    refuse_two_readers_of_stdin(forget=forget, exclude=exclude)
    gate.require_purpose()
    out = show.output()
    with out.working(data, test) as progress:
        from speu_cli.stages.evaluate import evaluate as stage

        inputs = (model, data, forget, test, original, exclude, *(reference or ()), gate.policy)
        _check_files(report, gate, model, inputs)
        result = stage(
            model,
            data,
            forget,
            test,
            original=original,
            reference=reference or (),
            exclude=exclude,
            max_remaining=max_remaining,
            seed=seed,
            generate=generate,
            perturbed=values.by_name("--perturbed", perturbed or ()),
            attacks=attack.choice(),
            require=gate.require or (),
            policy=gate.policy,
            choice=choice.choice(),
            runtime=run.runtime(progress),
        )
    _show(out, result)  # before the files: a full disk must not cost what was measured
    _write_files(report, gate, result, model, original)
    _fail_unless(result.passed)


def _check_files(
    report: ReportOptions, gate: GateOptions, model: Path, inputs: "Iterable[str | Path | None]"
) -> None:
    """Refuse what could not or must not be written, before anything is measured."""
    if not report.touched and gate.junit is None:
        return
    from speu_cli.stages.report import check_mask, check_report

    check_report(report.files(gate.junit), inputs)
    if report.asked:
        check_mask(report.files(gate.junit), model)


def _write_files(
    report: ReportOptions, gate: GateOptions, result: "EvaluateResult", model: Path, original: Path | None
) -> None:
    """Write what was asked for beside the result."""
    if gate.junit is not None:
        from speu_cli.stages.requirements import write_junit

        write_junit(gate.junit, result.gates, model=model, seconds=result.seconds, force=report.force)
    if report.asked:
        from speu_cli.stages.report import write_report

        write_report(report.files(gate.junit), result, model, original)


def _show(out: Output, result: "EvaluateResult") -> None:
    """Print what was measured, and what became of the requirements."""
    if out.json:
        out.json_object(result.as_json())
        return
    from speu_cli.evaluation.table import table

    measured = table(
        result.model,
        original=result.original,
        reference=result.reference,
        gaps=result.gaps,
        noise=result.noise,
        inside=result.inside_noise,
    )
    out.table(measured.header, measured.rows)
    print()
    out.facts(
        {
            "forget examples": result.forget_examples,
            "remaining examples": result.remaining_examples,
            "test examples": result.test_examples,
            "references": len(result.references) if result.noise else None,
            **_of_attacks(result.attacks),
            "time": duration(result.seconds),
            "peak memory": size(result.peak_memory_bytes),
            "read": None if result.bytes_read is None else size(result.bytes_read),
            **_of_request(result.forgetting),
        }
    )
    for gate in result.gates:
        print(f"{'met' if gate.passed else 'NOT MET':<7}  {gate.expression}: {gate.told}")


def _of_request(forgetting: "Forgetting | None") -> dict[str, object]:
    """What the request changed, as named values."""
    if forgetting is None:
        return {}
    selected = (forgetting.selected or {}).items()
    changed = forgetting.parameters_changed
    return {
        "method": forgetting.method,
        **{f"{kind} changed": part_of(some, of) for kind, (some, of) in selected},
        "parameters changed": None if changed is None else part_of(changed, forgetting.parameters_total),
        "written": size(forgetting.bytes_written),
    }


def _of_attacks(found: "AttackResult | None") -> dict[str, str]:
    """What the attacks used, in words."""
    facts = {}
    if found and (relearned := found.relearned):
        facts["relearnt from"] = (
            f"{relearned.shown} forgotten examples, measured on the other {relearned.held_back}"
        )
    if found and (paraphrased := found.paraphrased):
        facts["paraphrases"] = f"{paraphrased.examples}; {paraphrased.missing} forgotten examples have none"
    return facts


def _fail_unless(passed: bool) -> None:
    """End with code 1 when a requirement is not met.

    Raises:
        typer.Exit: A requirement is not met.
    """
    if not passed:
        raise typer.Exit(1)
