"""A figure as PNG, as SVG, and as SVG inside a page that has its own colours."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from speu_cli.evaluation.report.palette import PROPERTIES, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.0, 3.2  # inches
DPI = 144


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn when it is asked for.

    Attributes:
        name: Of its files.
        title: A few words.
        description: What there is to see, for those who do not.
        draw: Draws it.
        height: In inches.
    """

    name: str
    title: str
    description: str
    draw: Callable[["Axes"], None]
    height: float = HEIGHT

    def png(self) -> bytes:
        """As PNG, on white."""
        with _styled(self.name):
            return _saved(self._figure(), "png")

    def svg(self) -> bytes:
        """As SVG, on white; the same bytes every time."""
        with _styled(self.name):
            return _saved(self._figure(), "svg")

    def inline(self) -> str:
        """As an SVG element for a page, whose custom properties colour it."""
        text = self.svg().decode()
        element = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
        # The numbers of matplotlib are those of one file; on a page an id must be there once.
        element = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{self.name}-", element)
        for color, name in PROPERTIES.items():
            element = element.replace(color, f"var({name})")
        width, height = (round(72 * inches) for inches in (WIDTH, self.height))
        opening = (
            f'<svg class="figure" role="img" aria-labelledby="{self.name}-title" '
            f'aria-describedby="{self.name}-description" viewBox="0 0 {width} {height}" '
            f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        )
        return opening + element[element.index(">") + 1 :]

    def _figure(self) -> "Figure":
        # Not through pyplot: it would look for a display and keep global state.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH, self.height), layout="constrained")
        self.draw(figure.subplots())
        return figure


@contextmanager
def _styled(name: str) -> Iterator[None]:
    from matplotlib import rc_context

    with rc_context({**STYLE, "svg.hashsalt": name}):
        yield


def _saved(figure: "Figure", kind: str) -> bytes:
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=DPI, metadata=metadata)
    return buffer.getvalue()
