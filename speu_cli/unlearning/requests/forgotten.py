"""What a state keeps of all forgotten examples: their sums, never the examples (Eq. 12)."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speu_cli.artifacts.format import library_versions, write_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.errors import ArtifactError, InputError
from speu_cli.statistics.sums import Statistics, Tensors
from speu_cli.unlearning.requests.recorded import read_recorded

KIND = "forgotten"
OF_COUNTED = ("fisher", "mask_fisher", "directions")
OF_STEP = ("gradient", "mask_gradient")
NO_WEIGHTS = torch.zeros(0, dtype=torch.float64)


@dataclass(frozen=True)
class Forgotten:
    """Sums over the examples forgotten so far, all at the original model θ*, in float64.

    Attributes:
        examples: How many they are.
        counted: F and B of those that the statistics of the training set count: what these lose. Directions
            too, if steps hold them.
        in_step: Σ η·g, with the rate of each one's request, and Σ u, of those that enter the step.
    """

    examples: int
    counted: Statistics
    in_step: Statistics

    @classmethod
    def of(cls, examples: int, counted: Statistics, in_step: Statistics) -> "Forgotten":
        """What is kept of statistics that have more.

        Args:
            examples: Number of forgotten examples.
            counted: Statistics of those in the training set's statistics.
            in_step: Of those that enter the step.

        Returns:
            The sums.
        """
        # In float64, so that the order of requests does not matter.
        directions = {name: tensor.double() for name, tensor in counted.directions.items()}
        kept = replace(counted, gradient={}, mask_gradient={}, mask_rows={}, directions=directions)
        nothing = torch.zeros(0, dtype=torch.int64)
        step = Statistics(in_step.count, {}, in_step.gradient, in_step.mask_gradient, {}, {}, nothing)
        return cls(examples, kept, step)

    def at_rate(self, rate: float) -> "Forgotten":
        """Weight gradients with the rate that their request was served at.

        A common rate would make what was forgotten come back once a later request needs less.

        Args:
            rate: η.

        Returns:
            The sums with η·g in the place of g.
        """
        gradient = {name: rate * tensor for name, tensor in self.in_step.gradient.items()}
        return replace(self, in_step=replace(self.in_step, gradient=gradient))

    def __add__(self, other: "Forgotten") -> "Forgotten":
        """Of both, which have no example in common."""
        return Forgotten(
            self.examples + other.examples, self.counted + other.counted, self.in_step + other.in_step
        )

    def remaining(self, full: Statistics, examples: int) -> Statistics:
        """S(D_r) = S(D) − S(D_f), of which F and B are kept, and directions if the sums have them.

        Args:
            full: Statistics of the training set D, or of a sample of it.
            examples: n_D.

        Returns:
            The sums, scaled to n_r where they are of a sample.

        Raises:
            InputError: Nothing remains.
        """
        parts = replace(
            full,
            fisher={name: full.fisher[name] for name in self.counted.fisher},
            mask_fisher={name: full.mask_fisher[name] for name in self.counted.mask_fisher},
            gradient={},
            mask_gradient={},
            directions={name: full.directions[name] for name in self.counted.directions},
            direction_weights=full.direction_weights if self.counted.directions else NO_WEIGHTS,
        )
        left = parts - self.counted
        if left.count <= 0 or self.examples >= examples:
            raise InputError(
                "the statistics sum over forgotten examples only, nothing remains",
                hint="retrain without the forgotten examples, and make a new state",
            )
        return left.scaled_to(examples - self.examples)


def write_forgotten(target: Path, forgotten: Forgotten, model: ModelIdentity, statistics: str) -> str:
    """Write the sums, in the place of those of a request that was never completed.

    Args:
        target: File to write.
        forgotten: They.
        model: θ*.
        statistics: Digest of the training set's statistics.

    Returns:
        The digest of the content.
    """
    counts = {
        "examples": forgotten.examples,
        "counted": forgotten.counted.count,
        "in_step": forgotten.in_step.count,
    }
    record = {
        "model": asdict(model),
        "inputs": {"statistics": statistics},
        "counts": counts,
        "versions": library_versions(),
    }
    return write_artifact(target, KIND, record, _tensors(forgotten), force=True)


def read_forgotten(path: Path, digest: str, model: ModelIdentity, like: Statistics) -> Forgotten:
    """Read and verify the sums.

    Args:
        path: Their file.
        digest: That the content must have.
        model: θ*.
        like: Statistics of the training set: names and shapes have to be among theirs.

    Returns:
        The sums.

    Raises:
        ArtifactError: They are not intact, are others, or belong to another model.
    """
    artifact = read_recorded(path, KIND, digest)
    try:
        model.require_same(ModelIdentity(**artifact.record["model"]), str(path))
        return _unpack(artifact.record["counts"], artifact.tensors, like)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} is not a complete file of forgotten sums: {error!r}") from error


def _tensors(forgotten: Forgotten) -> dict[str, Tensor]:
    tensors = {"sampled": forgotten.counted.sampled}
    if forgotten.counted.directions:
        tensors["direction_weights"] = forgotten.counted.direction_weights
    for statistics, parts in ((forgotten.counted, OF_COUNTED), (forgotten.in_step, OF_STEP)):
        for part in parts:
            sums: Tensors = getattr(statistics, part)
            tensors |= {f"{part}/{name}": tensor.double() for name, tensor in sums.items()}
    return tensors


def _unpack(counts: dict[str, Any], tensors: dict[str, Tensor], like: Statistics) -> Forgotten:
    """Sums by part and name, each in the shape that it has in the training set's statistics."""
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in (*OF_COUNTED, *OF_STEP)}
    sampled, weights = tensors.pop("sampled"), tensors.pop("direction_weights", NO_WEIGHTS)
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if tensor.shape != getattr(like, part)[rest].shape or tensor.dtype != torch.float64:
            raise ValueError(f"'{name}' is misshapen")
        if part == "fisher" and (tensor < 0).any():
            raise ValueError(f"'{name}' holds squares below zero")
        parts[part][rest] = tensor
    if weights.shape != (like.direction_weights if parts["directions"] else NO_WEIGHTS).shape:
        raise ValueError("'direction_weights' is misshapen")
    counted = Statistics(
        int(counts["counted"]),
        parts["fisher"],
        {},
        {},
        parts["mask_fisher"],
        {},
        sampled,
        parts["directions"],
        weights,
    )
    in_step = Statistics(int(counts["in_step"]), {}, parts["gradient"], parts["mask_gradient"], {})
    if not 0 <= counted.count <= int(counts["examples"]) or not 0 <= in_step.count <= int(counts["examples"]):
        raise ValueError("its counts contradict each other")
    return Forgotten(int(counts["examples"]), counted, in_step)
