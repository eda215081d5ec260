"""What is measured of every model: how near it is to the one retrained without the draw."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from commands import REFUSED, Json, at_once
from paper_numbers import PERCENT
from study import NOT_MEASURED, ORIGINAL, RETRAINED, Study, Way, costs, gap

from quality.draws import further_draws
from quality.variants import Variant, statistics_in

OTHER_SEED = "RT, another seed"
CLASS_SHIFT = "class_shift.test"
AGREEMENT = {"rank": "agreement.loss_rank.forget", "confidence": "agreement.confidence.forget"}
OFF = ("R", "T")
LACKING = {
    **NOT_MEASURED,
    **dict.fromkeys(("heldout_auc", "auc_off", *AGREEMENT, *(f"{one}_off" for one in OFF)), math.nan),
}


@dataclass(frozen=True)
class Draw:
    """A request on a set, and the model retrained without it.

    Attributes:
        study: The set.
        name: Of the draw.
        further: It is no draw of the tables, but a smaller or a larger one.
    """

    study: Study
    name: str
    further: bool = False

    @cached_property
    def retrained(self) -> Path:
        """The model that is aimed at."""
        return self.study.retrained(self.name)

    @cached_property
    def aim(self) -> dict[str, float]:
        """Its figures."""
        return self._figures(self.retrained, "retrained", beside=False)

    @property
    def retraining_seconds(self) -> float:
        """What it took to train it."""
        return float(costs(self.study.kept(self.retrained.name))["seconds"])

    def references(self) -> list[Json]:
        """The original and the retrained model; of the first draw also one retrained from another seed."""
        original = self.row(ORIGINAL, self._figures(self.study.original(), ORIGINAL))
        retrained = self.row(RETRAINED, self.aim, {"seconds": self.retraining_seconds})
        if self.name != self.study.draws[0]:
            return [original, retrained]
        label = "retrained-seed-1"
        other = self.study.train(f"{label}-{self.name}", self.study.forget(self.name), seed=1)
        taken = costs(self.study.kept(other.name))
        return [original, retrained, self.row(OTHER_SEED, self._figures(other, label), taken)]

    def served(self, way: Way, *more: str) -> Json:
        """Serve the request in one way, measure the model, and remove it.

        Args:
            way: How.
            more: Further options.

        Returns:
            The row; of a request that was refused what it took, and that it was.
        """
        model, answer = self.study.served(self.name, way, *more)
        taken = costs(answer)
        taken["time_share"] = taken["seconds"] / self.retraining_seconds
        if REFUSED in answer:
            return self.row(way.name, None, {**taken, REFUSED: True})
        found = self._figures(model, way.label)
        shutil.rmtree(model, ignore_errors=True)
        result = answer["result"]
        told = {name: result[name] for name in ("rate", "note", "parameters_changed")}
        told["recipe"] = Path(result["recipe"]).name
        checks = {f"criterion.{name}": value for name, value in result["criterion"].items()}
        return self.row(way.name, found, {**taken, **told, **checks})

    def row(self, method: str, found: dict[str, float] | None, more: Json | None = None) -> Json:
        """A row: figures of a model, and their distance from the aim.

        Args:
            method: Its name.
            found: Its figures; None if there is no model.
            more: What else there is to tell.

        Returns:
            Scores, membership and areas as fractions; the gap, ``R_off`` and ``T_off`` in points.
        """
        of_draw = {"set": self.study.data_set.name, "draw": self.name, "further": self.further}
        row: Json = {**of_draw, "method": method, **(more or {})}
        if found is None:
            return {**row, **LACKING}
        off = {f"{name}_off": PERCENT * (found[name] - self.aim[name]) for name in OFF}
        off |= {"auc_off": found["heldout_auc"] - self.aim["heldout_auc"]}
        return {**row, **found, "gap": gap(found, self.aim), **off}

    def _figures(self, model: Path, label: str, *, beside: bool = True) -> dict[str, float]:
        """Measure a model twice: against the test rows, and against held-out rows.

        Args:
            model: Its folder.
            label: In the names of the answers.
            beside: Compare it with the retrained model, row by row.

        Returns:
            As `Study.figures`; the AUC against held-out rows; of classes how much too often some are
            predicted; and with ``beside`` the agreement.
        """
        forget, name = self.study.forget(self.name), f"near-{label}-{self.name}"
        reference = ("--reference", str(self.retrained)) if beside else ()
        answer = self.study.evaluated(model, forget, name, *reference)
        unseen = self.study.evaluated(model, forget, f"{name}-heldout", test="heldout")
        found: dict[str, float | None] = dict(self.study.figures(answer))
        found["heldout_auc"] = unseen["membership.auc"]["value"]
        if CLASS_SHIFT in answer:
            found["class_shift"] = answer[CLASS_SHIFT]["value"]
        if beside:
            found |= {short: answer[long]["value"] for short, long in AGREEMENT.items()}
        return {key: math.nan if value is None else value for key, value in found.items()}


def draws_of(study: Study) -> list[Draw]:
    """The draws of every table, then the further ones."""
    further = [Draw(study, name, further=True) for name in further_draws(study)]
    return [*(Draw(study, name) for name in study.draws), *further]


def statistics(study: Study, variants: Sequence[Variant]) -> list[Json]:
    """Make the statistics that variants need, with and without directions, and tell what they took."""
    study.original()
    needed = dict.fromkeys(["", *(one.directions for one in variants)])
    found = []
    for directions in needed:
        output = statistics_in(study.work, directions)
        if directions:
            asked = (*study.data, *study.holdout, "--directions", directions, "--force", "-o", str(output))
            study.speu("fisher", str(study.original()), *asked, keep=output.stem)
        kept = study.kept(output.stem)
        name = f"statistics, {f'directions: {directions}' if directions else 'plain'}"
        of_file = {"bytes": kept["result"]["bytes"], **costs(kept)}
        found.append({"set": study.data_set.name, "method": name, **of_file})
    return found


def rows_of(study: Study, variants: Sequence[Variant], jobs: int = 1) -> list[Json]:
    """Measure the original and the retrained models and the variants on the draws of a set.

    Args:
        study: The set, whose original model and statistics are there.
        variants: To serve each draw with.
        jobs: How many commands run at once.

    Returns:
        Draw by draw, the references first; on all but the first draw only what is measured on every one.
    """
    ways = [(variant, variant.way(study)) for variant in variants]
    draws = draws_of(study)
    asked = [
        [way for variant, way in ways if variant.measured_on(number, further=draw.further)]
        for number, draw in enumerate(draws)
    ]
    references = at_once(jobs, Draw.references, draws)  # all requests are compared with them
    each = [(draw, way) for draw, of_draw in zip(draws, asked, strict=True) for way in of_draw]
    served = iter(at_once(jobs, _served, each))
    found = zip(references, asked, strict=True)
    return [row for known, of_draw in found for row in (*known, *islice(served, len(of_draw)))]


def _served(asked: tuple[Draw, Way]) -> Json:
    draw, way = asked
    return draw.served(way)
