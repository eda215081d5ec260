"""``speu inspect``: what is in a file that speu wrote."""

from pathlib import Path
from typing import Annotated

from speu_cli.cli.options import ForceOption, PictureOption, ShowOptions, argument

EXAMPLES = """
  speu inspect fisher.safetensors
  speu inspect mask.safetensors --picture mask.png
"""


def inspect(
    *,
    path: Annotated[Path, argument(metavar="FILE", help="Statistics, a mask, or a checkpoint folder.")],
    picture: PictureOption = None,
    force: ForceOption = False,
    show: ShowOptions,
) -> None:
    """Show what is in a statistics file, a mask or an unlearned checkpoint."""
    out = show.output()
    with out.working():
        from speu_cli.stages.inspect import inspect as stage

        result = stage(path, picture=picture, force=force)
    if out.json:
        out.json_object(result)
        return
    out.facts({"path": result.path, **dict(result.summary), "picture": result.picture})
