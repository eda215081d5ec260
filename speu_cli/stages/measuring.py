"""Models in turn, one at a time in memory, over sets that are encoded once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from speu_cli.data.examples import Examples
from speu_cli.errors import ArtifactError
from speu_cli.stages.session import Session
from speu_cli.tasks.distributions import Kept, kept_divergences
from speu_cli.tasks.encoding import Encoded
from speu_cli.tasks.outcomes import Outcomes

Key = tuple[object, ...]  # models with the same one encode an example in the same way


@dataclass
class Measuring:
    """What the models do with the sets.

    Attributes:
        sets: Their examples, by name.
        most_tokens: For language models: the most tokens of an answer. None: nothing is generated.
        keep: Keep what is predicted of each example, to compare models.
        outcomes: Of each model that was measured on each set.
    """

    sets: Mapping[str, Examples]
    most_tokens: int | None = None
    keep: bool = False
    outcomes: dict[str, dict[str, Outcomes]] = field(default_factory=dict)
    _encoded: dict[Key, dict[str, Encoded]] = field(default_factory=dict)
    _keys: dict[str, Key] = field(default_factory=dict)
    _kept: dict[tuple[str, str], Kept] = field(default_factory=dict)

    def run(self, session: Session, name: str) -> Mapping[str, Encoded]:
        """Measure a model on every set.

        Args:
            session: The model.
            name: What it is called.

        Returns:
            The sets as it reads them.
        """
        encoded = self._encode(session, name)
        self.outcomes[name] = {part: self._outcomes(session, name, part, encoded[part]) for part in self.sets}
        return encoded

    def divergences(self, expected: str, found: str, part: str) -> npt.NDArray[np.float64] | None:
        """KL(expected ‖ found) of each example of a set, in nats.

        Args:
            expected: Name of a reference.
            found: Name of a model.
            part: Name of the set.

        Returns:
            float64 ``[n]``, NaN for what was not kept; None where the task predicts no distribution. All are
            NaN where the two models do not see the same tokens.
        """
        one, other = self._kept[expected, part], self._kept[found, part]
        if not one.batches or not other.batches:
            return None
        examples = len(self.sets[part])
        if self._keys[expected] != self._keys[found]:
            return np.full(examples, np.nan)
        return kept_divergences(one, other, examples)

    def _encode(self, session: Session, name: str) -> dict[str, Encoded]:
        key = (
            session.checkpoint.identity.tokenizer,
            session.max_length,
            session.doc_stride,
            session.template,
        )
        self._keys[name] = key
        if key not in self._encoded:
            self._encoded[key] = {part: session.encode(examples) for part, examples in self.sets.items()}
        return self._encoded[key]

    def _outcomes(self, session: Session, name: str, part: str, encoded: Encoded) -> Outcomes:
        kept = self._kept.setdefault((name, part), Kept()) if self.keep else None
        found = session.outcomes(encoded, f"{name}: {part} set", kept)
        odd = np.flatnonzero(~np.isfinite(found.losses))
        if odd.size:
            first = odd[0]
            raise ArtifactError(
                f"{session.checkpoint.folder}: the loss of example {encoded.ids[first]!r} of the {part} set "
                f"is {found.losses[first]}, as for {odd.size} of {len(encoded)}; expected a finite number",
                hint="the model is damaged: undo the step that made it, or take a smaller one",
            )
        if self.most_tokens is None:
            return found
        recalls = session.recalls(encoded, self.most_tokens)
        return replace(found, answers={**found.answers, "rouge_l": recalls})
