"""What every method of the comparison has: a name, its set-up, and a run over examples."""

from abc import ABC, abstractmethod
from typing import ClassVar

from subjects import Fisher, Subject

from speu_cli.tasks.encoded import Encoded


class Method(ABC):
    """One way to get Σ (∂ℓ/∂θ)² over examples, for the parameters that units own (Eq. 3).

    The constructor prepares the subject, which is the method's own; a run leaves it as it was.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    """The module without which there is no such method here."""
    required: ClassVar[bool] = False
    """Whether a failure ends the comparison, instead of being told in the table."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @abstractmethod
    def run(self, encoded: Encoded) -> Fisher | None:
        """One pass over the examples, in the batches of the subject.

        Args:
            encoded: The examples.

        Returns:
            The sum of squares, not divided by the number of examples; nothing where the method makes none.
        """

    def share(self, fisher: Fisher) -> Fisher:
        """What of the whole F this method gives.

        Args:
            fisher: F of all parameters that units own a part of.

        Returns:
            F in the form that :meth:`run` gives: by default the whole.
        """
        return fisher
