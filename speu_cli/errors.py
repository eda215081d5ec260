"""Typed errors: each knows its exit code and what to do about it.

A message says what was found and what was expected, in one line; ``hint`` says what to do.
"""


class SpeuError(Exception):
    """Base of every error that a user can cause or mend.

    Args:
        message: One line, lower case: what was found, what was expected.
        hint: One line: what to do. Default: none.
    """

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(SpeuError):
    """Options, example rows or id lists that cannot be served."""

    exit_code = 2


class ArtifactError(SpeuError):
    """A statistics file, mask or checkpoint that is corrupt, mismatched or of an unsupported kind."""

    exit_code = 4


class NotFiniteError(ArtifactError):
    """A model whose loss on an example is not a number."""


class OutputExistsError(SpeuError):
    """The output is already there, and overwriting was not asked for."""

    exit_code = 5


class LockedError(SpeuError):
    """Another run is writing the same output."""

    exit_code = 6


class ResourceError(SpeuError):
    """Out of disk, memory, or permission to write."""

    exit_code = 7


class UnsafeStepError(SpeuError):
    """No step was found that forgets and leaves the model whole; nothing was written."""

    exit_code = 8
