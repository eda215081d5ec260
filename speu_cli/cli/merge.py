"""``speu merge``: one statistics file of the shards of a divided run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import FileOutput, ForceOption, ShowOptions, argument
from speu_cli.cli.output import Output
from speu_cli.wording import part_of, size

if TYPE_CHECKING:
    from speu_cli.stages.merge import MergeResult

EXAMPLES = """
  speu merge shard-1.safetensors shard-2.safetensors -o fisher.safetensors
  speu merge shard-*.safetensors -o fisher.safetensors
"""


def merge(
    *,
    shards: Annotated[
        list[Path],
        argument(
            metavar="SHARD",
            help="Files of speu fisher --shard, all of one run, in any order.",
        ),
    ],
    output: FileOutput,
    force: ForceOption = False,
    show: ShowOptions,
) -> None:
    """Put the shards of a divided run of fisher together into one statistics file.

    They have to be of one model, one data set and one set of options, and all have to be there, each once.
    """
    out = show.output()
    with out.working() as progress:
        from speu_cli.stages.merge import merge as stage

        result = stage(shards, output, force=force, progress=progress)
    _show(out, result)


def _show(out: Output, result: "MergeResult") -> None:
    """Print what was put together."""
    if out.json:
        out.json_object(result)
        return
    sampled = result.used < result.examples
    out.facts(
        {
            "output": result.output,
            "size": size(result.bytes),
            "shards": result.shards,
            "examples": part_of(result.used, result.examples) if sampled else result.examples,
            "held-out examples": result.holdout_examples,
            "held-out loss": result.unseen_loss,
            "sha256": result.sha256,
        }
    )
