"""Attacks that runs made with other settings: their figures have the same names and cannot be compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from speu_cli.errors import ArtifactError
from speu_cli.evaluation.attack_names import PREFIX
from speu_cli.evaluation.report.visible import visible
from speu_cli.evaluation.runs.run import ROWS, Run, Side

LONGEST = 80  # of the name of a run
DIGITS = 12  # of a hash


def made_differently(runs: Sequence[Run]) -> dict[str, str]:
    """Find the attacks that runs made with other settings.

    Args:
        runs: All of them.

    Returns:
        By attack a sentence that says which runs made it how.
    """
    attacks = dict.fromkeys(attack for run in runs for attack in run.attacks)
    told = {attack: _told([run for run in runs if attack in run.attacks], attack) for attack in attacks}
    return {
        attack: f"{PREFIX}{attack} was made with other settings, so its figures are left out: {each}"
        for attack, each in told.items()
        if each
    }


def without(run: Run, attacks: Iterable[str]) -> Run:
    """Take away the figures of attacks, of all models of a run."""
    prefixes = tuple(f"{PREFIX}{attack}." for attack in attacks)

    def kept(side: Side) -> Side:
        metrics, *each = (
            {name: metric for name, metric in one.items() if not name.startswith(prefixes)}
            for one in (side.metrics, *side.each)
        )
        return Side(metrics, each, side.weights)

    return replace(
        run,
        model=kept(run.model),
        original=None if run.original is None else kept(run.original),
        reference=None if run.reference is None else kept(run.reference),
    )


def require_compared(left_out: Mapping[str, str], names: Iterable[str]) -> None:
    """Refuse names of figures that are left out.

    Args:
        left_out: As of `made_differently`.
        names: Of metrics.

    Raises:
        ArtifactError: One is of an attack that was made with other settings.
    """
    for name in names:
        for attack, why in left_out.items():
            if name.startswith(f"{PREFIX}{attack}."):
                raise ArtifactError(
                    f"{name} cannot be compared: {why}",
                    hint="evaluate all models with the same options and the same --seed",
                )


def _told(runs: Sequence[Run], attack: str) -> str:
    """Who made an attack how, as far as it is not the same; empty where all is."""
    first, *others = (run.attacks[attack] for run in runs)
    differing = [name for name, value in first.items() if any(other[name] != value for other in others)]
    if not differing:
        return ""
    by_settings: dict[str, list[str]] = {}
    for run in runs:
        settings = ", ".join(_setting(name, run.attacks[attack][name]) for name in differing)
        by_settings.setdefault(settings, []).append(visible(run.name, LONGEST))
    return "; ".join(f"{settings} in {', '.join(names)}" for settings, names in by_settings.items())


def _setting(name: str, value: object) -> str:
    shown = f"sha256 {visible(str(value)[:DIGITS], DIGITS)}…" if name == ROWS else str(value)
    return f"{name.replace('_', ' ')} {shown}"
