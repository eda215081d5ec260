"""One model on one data set: what is trained once for all tables; how a request is served and measured."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from commands import REFUSED, Commands, Json
from data_cuts import DRAWS
from settings import DataSet, Model, Setting

PARTS = ("unlearning", "remaining", "testing")
COMPARED = ("U", "R", "T", "MIA")
OTHERS = {"MIA": "membership.member_fraction", "AUC": "membership.auc", "loss": "loss.forget"}
NOT_MEASURED = dict.fromkeys((*COMPARED, "AUC", "loss", "gap"), math.nan)
ORIGINAL, RETRAINED = "original", "RT"
PAPER = ("--recipe", "paper")


@dataclass(frozen=True)
class Way:
    """A way to serve a request.

    Attributes:
        name: In tables.
        label: In file names.
        options: Of ``speu unlearn``.
        steps: Whether it reads the statistics.
        at_reference: Its target is the retrained model's loss on the draw, in place of the held-out rows'.
    """

    name: str
    label: str
    options: tuple[str, ...]
    steps: bool = True
    at_reference: bool = False


def step(sparsity: float, kinds: str = "both", *, at_reference: bool = False) -> Way:
    """The paper's second-order step; at sparsity 0 on all heads and filters, or all of one kind.

    Args:
        sparsity: S.
        kinds: Which units.
        at_reference: As in `Way`.

    Returns:
        The way; the same choice has the same label in every table, so it is served once.
    """
    suffix, told = ("-at-rt", ", RT's loss") if at_reference else ("", "")
    if sparsity == 0 and kinds == "both":
        return Way(f"SO{told}", f"so{suffix}", ("--method", "so", *PAPER), at_reference=at_reference)
    options = ("--method", "spe-so", "--sparsity", str(sparsity), "--kinds", kinds, *PAPER)
    return Way(f"SPE-SO{told}", f"spe-so-{sparsity}-{kinds}{suffix}", options, at_reference=at_reference)


@dataclass(frozen=True)
class Study(Commands):
    """Where the files of a model on a data set are.

    Attributes:
        setting: How large.
        data_set: The set.
        model: The pretrained encoder.
        base: Its folder.
        cut: Folder of the rows and id lists.
    """

    setting: Setting
    data_set: DataSet
    model: Model
    base: Path
    cut: Path

    @property
    def draws(self) -> str:
        """Names of the draws."""
        return DRAWS[: self.setting.draws]

    @property
    def data(self) -> tuple[str, str]:
        """The training set, as an option."""
        return ("--data", str(self.cut / "train.jsonl"))

    @property
    def fisher(self) -> tuple[str, str]:
        """The statistics, as an option."""
        return ("--fisher", str(self.work / "fisher.safetensors"))

    @property
    def holdout(self) -> tuple[str, str]:
        """Rows never trained on, as an option."""
        return ("--holdout", str(self.cut / "heldout.jsonl"))

    def forget(self, draw: str) -> Path:
        """The id list of a draw."""
        return self.cut / f"forget-{draw}.txt"

    def train(self, name: str, exclude: Path | None = None, seed: int = 0) -> Path:
        """Fine-tune the encoder; without the rows of a list for their reference."""
        length = ("--max-length", str(self.setting.sizes[self.data_set.name].max_length))
        epochs = self.setting.epochs_for(self.data_set.name)
        course = ("--epochs", epochs, "--learning-rate", self.model.learning_rate, "--seed", str(seed))
        without = ("--exclude", str(exclude)) if exclude else ()
        asked = (str(self.base), *self.data, *self.data_set.task, *length, *course, *without)
        self.speu("train", *asked, "--force", "-o", str(self.work / name), keep=name)
        return self.work / name

    def original(self) -> Path:
        """The model that learnt all rows; its statistics are made too."""
        model = self.train(ORIGINAL)
        output = ("--force", "-o", self.fisher[1])
        self.speu("fisher", str(model), *self.data, *self.holdout, *output, keep="fisher")
        return model

    def retrained(self, draw: str) -> Path:
        """The reference of a draw."""
        return self.train(f"retrained-{draw}", self.forget(draw))

    def reference_rows(self, draw: str) -> list[Json]:
        """The original and the retrained model on a draw."""
        original, retrained = self.original(), self.retrained(draw)
        found = self.measured(original, self.forget(draw), f"{ORIGINAL}-{draw}")
        aim = self.measured(retrained, self.forget(draw), f"retrained-{draw}")
        return [
            {"method": ORIGINAL, "draw": draw, **found, "gap": gap(found, aim)},
            {"method": RETRAINED, "draw": draw, **aim, "gap": 0.0, **costs(self.kept(retrained.name))},
        ]

    def served(self, draw: str, way: Way, *more: str) -> tuple[Path, Json]:
        """Serve the request of a draw.

        Args:
            draw: Name of the draw.
            way: How.
            more: Further options.

        Returns:
            Where the model is, until someone removes it, and the answer.
        """
        name = f"{way.label}-{draw}"
        source = self.fisher if way.steps else ()
        asked = (*self.data, "--forget", str(self.forget(draw)), *source, *more, *way.options)
        model = self.work / name
        original = str(self.original())
        return model, self.speu("unlearn", original, *asked, "--force", "-o", str(model), keep=name)

    def served_row(self, draw: str, way: Way) -> Json:
        """Serve the request of a draw in one way, measure the model, and remove it.

        Args:
            draw: Name of the draw.
            way: How.

        Returns:
            Scores and membership as fractions, the average gap to the retrained model in points, what it
            took; NaN for what is measured where no safe step was found.
        """
        name = f"{way.label}-{draw}"
        aim = self.measured(self.retrained(draw), self.forget(draw), f"retrained-{draw}")
        target = ("--target-loss", str(aim["loss"])) if way.at_reference else ()
        model, answer = self.served(draw, way, *target)
        row: Json = {"method": way.name, "draw": draw, **costs(answer)}
        if REFUSED in answer:
            return {**row, **NOT_MEASURED, REFUSED: True}
        found = self.measured(model, self.forget(draw), name)
        shutil.rmtree(model, ignore_errors=True)
        told = {key: answer["result"].get(key) for key in ("rate", "parameters_changed")}
        return {**row, **found, "gap": gap(found, aim), **told}

    def measured(self, model: Path, forget: Path, name: str) -> dict[str, float]:
        """Measure a model; D_r by a sample.

        Args:
            model: Its folder.
            forget: Id list of D_f.
            name: Under which the answer is kept.

        Returns:
            As `figures`.
        """
        return self.figures(self.evaluated(model, forget, f"eval-{name}"))

    def evaluated(
        self, model: Path, forget: Path, keep: str, *more: str, test: str = "test"
    ) -> dict[str, Json]:
        """Measure a model; D_r by a sample.

        Args:
            model: Its folder.
            forget: Id list of D_f.
            keep: Name of the answer.
            more: Further options.
            test: The rows that stand for unseen ones: ``test`` or ``heldout``.

        Returns:
            Each metric, by its own name.
        """
        remaining = ("--max-remaining", str(self.setting.sizes[self.data_set.name].remaining))
        asked = (*self.data, "--forget", str(forget), "--test", str(self.cut / f"{test}.jsonl"), *remaining)
        found: dict[str, Json] = self.speu("eval", str(model), *asked, *more, keep=keep)["result"]["model"]
        return found

    def figures(self, answer: dict[str, Json]) -> dict[str, float]:
        """``U``, ``R`` and ``T``, the scores on the three sets; MIA, AUC and the forget loss."""
        scores = {part[0].upper(): f"{part}_{self.data_set.score}" for part in PARTS}
        return {short: answer[long]["value"] for short, long in {**scores, **OTHERS}.items()}


def costs(answer: Json) -> Json:
    """What a command took, as its answer keeps it."""
    return {"seconds": answer["process_seconds"], "peak_bytes": answer["process_peak_bytes"]}


def gap(found: dict[str, float], aim: dict[str, float]) -> float:
    """The paper's average gap, as ``speu eval`` has it: the mean distance in U, R, T and MIA, in points."""
    return math.fsum(100 * abs(found[name] - aim[name]) for name in COMPARED) / len(COMPARED)
