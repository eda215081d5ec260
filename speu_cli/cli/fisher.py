"""``speu fisher``: the statistics of the training examples."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from speu_cli.cli import values
from speu_cli.cli.options import (
    DataOption,
    DataOptions,
    FileOutput,
    ForceOption,
    ModelArgument,
    RunOptions,
    SeedOption,
    ShowOptions,
    of_input,
    of_method,
    of_output,
    of_runtime,
    refuse_two_readers_of_stdin,
)
from speu_cli.cli.output import Output
from speu_cli.wording import duration, long_duration, part_of, size

if TYPE_CHECKING:
    from speu_cli.stages.collection import CollectionChoice
    from speu_cli.stages.fisher import FisherResult, Keeping
    from speu_cli.stages.plan import FisherPlan

GIGA = 1e9

EXAMPLES = """
  speu fisher model/ --data train.jsonl --holdout dev.jsonl -o fisher.safetensors
  speu fisher model/ --data train.jsonl --dry-run -o fisher.safetensors
  speu fisher model/ --data train.jsonl --shard 2/8 --resume -o shard-2.safetensors
  torchrun --nproc-per-node 4 -m speu_cli fisher model/ --data train.jsonl --device cuda -o fisher.safetensors
"""


@dataclass(frozen=True)
class CollectionOptions:
    """What is collected."""

    scope: Annotated[
        Literal["structures", "all"],
        of_method("--scope", help="Parameters of heads and filters (structures), or every parameter (all)."),
    ] = "structures"
    only: Annotated[
        Literal["mask"] | None,
        of_method("--only", help="mask: only what choosing a mask needs; takes next to no memory."),
    ] = None
    mask: Annotated[
        Path | None,
        of_input(
            "--mask",
            metavar="FILE",
            help="Only the heads and filters that this mask lets change: a fraction of memory and file.",
        ),
    ] = None
    mask_sample: Annotated[
        int,
        of_method(
            "--mask-sample",
            metavar="N",
            parser=values.whole(least=2),
            help="Where a layer has more than 4096 filters: examples whose mask gradients are kept.",
        ),
    ] = 1024
    directions: Annotated[
        int | None,
        of_method(
            "--directions",
            metavar="N|auto",
            parser=values.directions,
            help="Directions along which many examples move at once, for speu unlearn --hold-directions: "
            "one for each class where there are N classes, else N of random signs; auto: of up to 8 "
            "classes, else 4 of signs. Each takes as much room as the gradients.",
        ),
    ] = 0
    direction_examples: Annotated[
        int,
        of_method(
            "--direction-examples",
            metavar="N",
            parser=values.whole(least=1),
            help="With --directions: examples that they are summed over, a random sample.",
        ),
    ] = 1024

    def collection(self) -> "CollectionChoice":
        """Return what the stage takes."""
        from speu_cli.stages.collection import CollectionChoice

        return CollectionChoice(
            scope=self.scope,
            only=self.only,
            mask=self.mask,
            sample=self.mask_sample,
            directions="auto" if self.directions is None else self.directions,
            direction_examples=self.direction_examples,
        )


@dataclass(frozen=True)
class LongRunOptions:
    """How a long run is divided and kept."""

    shard: Annotated[
        str | None,
        of_runtime(
            "--shard", metavar="I/N", help="Only part I of N, for job arrays; speu merge puts them together."
        ),
    ] = None
    checkpoint_every: Annotated[
        float,
        of_runtime(
            "--checkpoint-every",
            metavar="SECONDS",
            parser=values.real(above=0),
            help="How often a long run is kept beside the output.",
        ),
    ] = 180.0
    resume: Annotated[
        bool, of_runtime("--resume", help="Go on with a run that was left, if there is one.")
    ] = False
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        of_runtime("--dtype", help="Type that the model computes in; sums are in float32 at least."),
    ] = "float32"

    def keeping(self) -> "Keeping":
        """Return what the stage takes."""
        from speu_cli.stages.fisher import Keeping

        return Keeping(every=self.checkpoint_every, resume=self.resume)


def fisher(
    *,
    model: ModelArgument,
    data: DataOption,
    holdout: Annotated[
        str | None,
        of_input(
            "--holdout",
            metavar="SOURCE",
            help="Examples never trained on; their losses are kept: what unseen looks like to this model.",
        ),
    ] = None,
    ids: Annotated[
        str | None, of_input("--ids", metavar="IDS", help="Only the examples with these ids; - reads stdin.")
    ] = None,
    exclude: Annotated[
        str | None, of_input("--exclude", metavar="IDS", help="Without these ids; - reads standard input.")
    ] = None,
    max_examples: Annotated[
        int | None,
        of_input(
            "--max-examples",
            metavar="N",
            parser=values.whole(least=1),
            help="At most this many examples, drawn with --seed.",
        ),
    ] = None,
    choice: DataOptions,
    collection: CollectionOptions,
    seed: SeedOption = 0,
    output: FileOutput,
    dry_run: Annotated[
        bool,
        of_output("--dry-run", help="Estimate time, memory and file size from config.json; write nothing."),
    ] = False,
    force: ForceOption = False,
    show: ShowOptions,
    run: RunOptions,
    long_run: LongRunOptions,
) -> None:
    """Compute the statistics of the training examples, once after training.

    They hold the squared and the summed gradients, exact for each example, over parameters, heads and
    filters. A later request to forget then reads only the few examples in it.
    """
    refuse_two_readers_of_stdin(ids=ids, exclude=exclude)
    out = show.output()
    if dry_run:
        with out.working(data, holdout) as progress:
            wanted = collection.collection()  # one process tells what is refused before a stage is there
            from speu_cli.stages.plan import plan

            planned = plan(
                model,
                data,
                holdout=holdout,
                ids=ids,
                exclude=exclude,
                max_examples=max_examples,
                seed=seed,
                collection=wanted,
                shard=long_run.shard,
                choice=choice.choice(),
                runtime=replace(run.runtime(progress), dtype=long_run.dtype),
            )
        if planned is not None:
            if not run.batch_tokens:
                out.note(
                    f"estimated for batches of {planned.batch_tokens:,} tokens; auto finds a size by trial"
                )
            _show_plan(out, planned)
        return
    with out.working(data, holdout) as progress:
        wanted = collection.collection()  # as above
        from speu_cli.stages.fisher import fisher as stage

        runtime = replace(run.runtime(progress, force=force), dtype=long_run.dtype)
        result = stage(
            model,
            data,
            output,
            holdout=holdout,
            ids=ids,
            exclude=exclude,
            max_examples=max_examples,
            seed=seed,
            collection=wanted,
            shard=long_run.shard,
            keeping=long_run.keeping(),
            auto_batch=not run.batch_tokens,
            choice=choice.choice(),
            runtime=runtime,
        )
    if result is not None:  # in the processes that do not write there is nothing to show
        _show(out, result)


def _show_plan(out: Output, planned: "FisherPlan") -> None:
    """Print what would be computed, and what it would take."""
    if out.json:
        out.json_object(planned)
        return
    timed, memory = planned.calibration, planned.memory
    sampled = planned.used < planned.examples
    width = "its full width" if timed.narrowing == 1 else f"1/{timed.narrowing} of its width"
    out.facts(
        {
            "output": "nothing, this was a dry run",
            "size": size(planned.bytes),
            "kept on the way": f"{size(planned.kept_bytes)} beside the output, to resume from",
            "shard": planned.shard,
            "processes": planned.processes if planned.processes > 1 else None,
            "examples": part_of(planned.used, planned.examples) if sampled else planned.examples,
            "tokens": planned.tokens,
            "sums of": f"parameters, {part_of(planned.entries, planned.parameters)}"
            if planned.entries
            else "mask variables",
            "time": f"about {long_duration(planned.seconds)} on {planned.device}, "
            f"{planned.tokens_per_second:,.0f} tokens/s",
            "estimated from": f"{timed.tokens:,} tokens in {duration(timed.seconds)} through {timed.layers} "
            f"layers of {width} with random weights, {timed.rate / GIGA:,.0f} GFLOP/s",
            "memory": [
                f"about {size(planned.memory_bytes)} a process, {size(planned.memory_free)} are free",
                f"weights {size(memory.weights)}",
                f"sums {size(memory.statistics)}",
                *([f"kept mask gradients {size(memory.sample)}, not on the GPU"] if memory.sample else []),
                *([f"directions {size(memory.directions)}, not on the GPU"] if memory.directions else []),
                f"activations of a batch of {planned.batch_tokens:,} tokens {size(memory.activations)}",
                f"work space {size(memory.workspace)}",
            ],
        }
    )


def _show(out: Output, result: "FisherResult") -> None:
    """Print what was computed."""
    if out.json:
        out.json_object(result)
        return
    sampled = result.used < result.examples
    out.facts(
        {
            "output": result.output,
            "size": size(result.bytes),
            "shard": result.shard,
            "examples": part_of(result.used, result.examples) if sampled else result.examples,
            "tokens": result.tokens,
            "mean loss": result.mean_loss,
            "held-out examples": result.holdout_examples,
            "held-out loss": result.unseen_loss,
            "time": duration(result.seconds),
            "sha256": result.sha256,
        }
    )
    if result.unseen_loss is None:
        out.note("what unseen examples look like is not known: a request needs --target-loss or --rate")
