"""The options of ``speu eval`` that belong to its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from speu_cli.cli.options import ForceOption, of_input, of_output

if TYPE_CHECKING:
    from speu_cli.stages.report import ReportFiles


@dataclass(frozen=True)
class ReportOptions:
    """Which reports are written."""

    mask: Annotated[
        Path | None,
        of_input(
            "--mask",
            metavar="FILE",
            show_default="the one in the checkpoint folder",
            help="Mask that the model was made with, for the report.",
        ),
    ] = None
    html: Annotated[
        Path | None,
        of_output("--html", metavar="FILE", help="Also write a report as one page that needs nothing else."),
    ] = None
    markdown: Annotated[
        Path | None, of_output("--markdown", metavar="FILE", help="Also write a report as Markdown.")
    ] = None
    figures: Annotated[
        Path | None,
        of_output("--figures", metavar="FOLDER", help="Also write the figures, each as PNG and SVG."),
    ] = None
    show_text: Annotated[
        bool,
        of_output("--show-text", help="Show the texts of forgotten examples in the report, not only ids."),
    ] = False
    force: ForceOption = False

    @property
    def touched(self) -> bool:
        """Whether any of them was given."""
        return self != ReportOptions()

    @property
    def asked(self) -> bool:
        """Whether a report is to be written."""
        return any(path is not None for path in (self.html, self.markdown, self.figures))

    def files(self, junit: Path | None) -> ReportFiles:
        """Return what the stage takes, with the file for the outcome of requirements."""
        from speu_cli.stages.report import ReportFiles

        return ReportFiles(**vars(self), junit=junit)
