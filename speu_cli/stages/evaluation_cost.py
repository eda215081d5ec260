"""What an evaluation reads, and what the request that made the model cost."""

from collections.abc import Iterable
from pathlib import Path

from transformers import PreTrainedModel

from speu_cli.checkpoints.adapters import read_adapter
from speu_cli.checkpoints.write import read_record
from speu_cli.evaluation.forgetting import Forgetting
from speu_cli.stages.chosen_mask import MASK_NAME

_OF_A_MODEL = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


def forgetting(folder: Path, model: PreTrainedModel) -> Forgetting | None:
    """Read what a request changed.

    Args:
        folder: Of the model.
        model: As loaded from it.

    Returns:
        It; None if the folder has no record of a request.
    """
    record = read_record(folder)
    if record is None or record.get("kind") != "unlearning":
        return None
    selected = record.get("selected")
    return Forgetting(
        method=str(record.get("method")),
        selected=selected and {kind: (int(some), int(of)) for kind, (some, of) in selected.items()},
        parameters_changed=record.get("parameters_changed"),
        parameters_total=sum(parameter.numel() for parameter in model.parameters()),
        bytes_written=_size(folder.iterdir()),
    )


def bytes_read(models: Iterable[Path], sources: Iterable[str | None]) -> int | None:
    """Add up the sizes of the files that an evaluation reads.

    Args:
        models: Folders of checkpoints; an adapter counts with its base.
        sources: Data sets and id lists; None is none.

    Returns:
        Bytes; None where a source is no file or folder on this machine.
    """
    total = 0
    for folder in models:
        adapter = read_adapter(folder)
        for place in (folder, adapter.base) if adapter else (folder,):
            total += _size(
                path for pattern in _OF_A_MODEL for path in place.glob(pattern) if path.name != MASK_NAME
            )
    for source in filter(None, sources):
        path = Path(source)
        if not path.exists():
            return None
        total += _size(path.rglob("*") if path.is_dir() else [path])
    return total


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
