"""The options of ``speu eval`` that say what a model has to meet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from speu_cli.cli.options import of_input, of_output
from speu_cli.errors import InputError


@dataclass(frozen=True)
class GateOptions:
    """What is required, and where the outcome is told."""

    policy: Annotated[
        Path | None,
        of_input("--policy", metavar="FILE", help="TOML file of requirements, beside those of --require."),
    ] = None
    require: Annotated[
        list[str] | None,
        of_output(
            "--require",
            metavar="GATE",
            help="Such as 'testing_accuracy>=84%' or 'membership.auc.high<=0.6': exit with 1 if it is not "
            "met; may be repeated.",
        ),
    ] = None
    junit: Annotated[
        Path | None,
        of_output("--junit", metavar="FILE", help="Also write what became of the requirements as JUnit XML."),
    ] = None

    def require_purpose(self) -> None:
        """Refuse to tell of requirements where there are none.

        Raises:
            InputError: A file for outcomes is named, and no requirement.
        """
        if self.junit is not None and not self.require and self.policy is None:
            raise InputError(
                "--junit tells what became of requirements, but there are none",
                hint="give --require or --policy",
            )
