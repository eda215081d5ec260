"""A picture of a mask: layers × heads, and the number of selected filters in each layer."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speu_cli.artifacts.atomic import atomic_file, check_output
from speu_cli.errors import InputError

Flags = npt.NDArray[np.bool_]
COLOR = "#2f6f9f"


def check_picture(target: Path, *, force: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse a picture that could not be written.

    Args:
        target: File to write.
        force: Replace an existing file.
        inputs: What is read, or written beside it; it is not replaced.

    Raises:
        InputError: Its name does not end in ``.png``.
    """
    if target.suffix.lower() != ".png":
        raise InputError(f"picture is {target}, expected a name that ends in .png")
    check_output(target, force=force, folder=False, inputs=inputs)


def draw_mask(selected: Mapping[str, Flags], target: Path, *, force: bool) -> None:
    """Draw a mask as PNG.

    Args:
        selected: Bool ``[units]`` by group, ``heads/0`` …
        target: File to write.
        force: Replace an existing file.
    """
    # Not through pyplot: it would look for a display and keep global state.
    from matplotlib.figure import Figure

    heads, filters = _by_layer(selected, "heads"), _by_layer(selected, "filters")
    layers = len(filters)
    figure = Figure(figsize=(9.0, 1.6 + 0.35 * layers), layout="constrained")
    left, right = figure.subplots(1, 2)
    if heads:
        left.imshow(np.stack(heads), aspect="auto", cmap="Blues", vmin=0, vmax=1.4)
        left.set_xticks(range(len(heads[0])))
    left.set(title=f"heads updated: {_share(heads)}", xlabel="head", ylabel="layer", yticks=range(layers))
    counts = [int(layer.sum()) for layer in filters]
    bars = right.barh(range(layers), counts, color=COLOR)
    right.bar_label(bars, padding=3)
    right.set(
        title=f"filters updated: {_share(filters)}",
        xlabel=f"filters of {len(filters[0])}",
        yticks=range(layers),
    )
    right.invert_yaxis()
    right.margins(x=0.15)
    with atomic_file(target, force=force) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _by_layer(selected: Mapping[str, Flags], kind: str) -> list[Flags]:
    layers = {
        int(key.rpartition("/")[2]): flags for key, flags in selected.items() if key.startswith(f"{kind}/")
    }
    return [layers[number] for number in sorted(layers)]


def _share(layers: list[Flags]) -> str:
    return f"{sum(int(layer.sum()) for layer in layers)} of {sum(len(layer) for layer in layers)}"
