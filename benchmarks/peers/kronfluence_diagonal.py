"""kronfluence: the diagonal of its influence functions' curvature.

By itself it draws labels from the model's predictions (the true Fisher), and writes files. Here it takes the
labels of the data (``use_empirical_fisher``), which makes its sum the F of Eq. 3, and its loop over batches
is called without the files around it. It covers linear modules, weight and bias as one matrix.
"""

from typing import Any, ClassVar

from subjects import Fisher, Subject
from torch import Tensor, nn

from peers.base import Method
from speu_cli.tasks.encoded import Encoded


class KronfluenceDiagonal(Method):
    """Its strategy ``diagonal`` with the data's labels."""

    name: ClassVar[str] = "kronfluence"
    package: ClassVar[str | None] = "kronfluence"

    def __init__(self, subject: Subject) -> None:
        from kronfluence.analyzer import prepare_model
        from kronfluence.arguments import FactorArguments
        from kronfluence.utils.state import State

        super().__init__(subject)
        self._names = list(subject.parameters)
        self._task = _task(subject, sorted({name.rpartition(".")[0] for name in self._names}))
        self._model = prepare_model(subject.model, self._task)
        self._arguments = FactorArguments(strategy="diagonal", use_empirical_fisher=True)
        self._state = State(cpu=subject.model.device.type == "cpu")

    def run(self, encoded: Encoded) -> Fisher:
        """All batches in its own loop."""
        from kronfluence.factor.eigen import fit_lambda_matrices_with_loader
        from kronfluence.utils.constants import LAMBDA_MATRIX_NAME

        _, factors = fit_lambda_matrices_with_loader(
            self._model,
            self._state,
            self._task,
            _Loader(self.subject, encoded),
            self._arguments,
            disable_tqdm=True,
        )
        matrices: dict[str, Tensor] = factors[LAMBDA_MATRIX_NAME]
        return {name: self._part(matrices, name) for name in self._names}

    def _part(self, matrices: dict[str, Tensor], name: str) -> Tensor:
        """A weight or a bias; of ``[outputs, inputs + 1]`` the last column is the bias."""
        path, _, kind = name.rpartition(".")
        if kind == "bias":
            return matrices[path][:, -1]
        return matrices[path][:, : self.subject.parameters[name].shape[1]]


class _Loader:
    """The subject's batches, with a length, as its loop wants them."""

    def __init__(self, subject: Subject, encoded: Encoded) -> None:
        self._subject, self._encoded = subject, encoded

    def __len__(self) -> int:
        return len(self._encoded.batches(self._subject.batch_tokens))

    def __iter__(self) -> Any:
        for inputs, labels in self._subject.batches(self._encoded):
            yield {"labels": labels, "inputs": inputs}


def _task(subject: Subject, modules: list[str]) -> Any:
    from kronfluence.task import Task

    class SummedLoss(Task):  # type: ignore[misc]
        """The same loss as everywhere; sampled labels are not asked for."""

        def compute_train_loss(self, batch: Any, model: nn.Module, sample: bool = False) -> Tensor:
            """Of a batch, summed.

            Args:
                batch: Inputs and labels.
                model: The prepared model, which is the subject's.
                sample: Must be false.

            Returns:
                A scalar.

            Raises:
                NotImplementedError: Sampled labels are asked for.
            """
            if sample:
                raise NotImplementedError("the labels are those of the data")
            return subject.losses(batch["inputs"], batch["labels"]).sum()

        def compute_measurement(self, batch: Any, model: nn.Module) -> Tensor:
            """Unused, but abstract."""
            return self.compute_train_loss(batch, model)

        def get_influence_tracked_modules(self) -> list[str]:
            """The modules that hold units."""
            return modules

    return SummedLoss()
