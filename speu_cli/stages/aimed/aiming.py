"""Where each forgotten example should end: where unseen ones like it are."""

from dataclasses import dataclass, replace

import numpy as np

from speu_cli.errors import ArtifactError
from speu_cli.stages.aimed.aims import Aims
from speu_cli.stages.aimed.dropout import margins_with_dropout
from speu_cli.stages.request import ForgetSet
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile
from speu_cli.tasks.encoded import Encoded
from speu_cli.tasks.margins import Floats
from speu_cli.unlearning.strata import Numbers, strata_of
from speu_cli.unlearning.targets import Known, unseen_margins, unseen_terms


@dataclass(frozen=True)
class Unseen:
    """What unseen examples are known like.

    Attributes:
        whole: By ℓ.
        terms: Their margins of each of its terms, ``[n, terms]``; None where it has none, or nothing tells.
    """

    whole: Known
    terms: Floats | None


@dataclass(frozen=True)
class Aiming:
    """Gives the forgotten examples the margins of unseen ones, whatever these are known like.

    Attributes:
        session: The model.
        now: The forget set, before any step.
        terms: Its margins of each term, ``[n_f, terms]``; None where the whole is moved.
        order: Higher for what would be known better unseen, ``[n_f]``.
        known: The remaining examples.
        kinds: What is true of them (`Task.strata`); None where the statistics do not tell.
    """

    session: Session
    now: Known
    terms: Floats | None
    order: Floats
    known: Known
    kinds: Numbers | None

    def at(self, unseen: Unseen) -> Aims:
        """The targets among unseen examples that are known like this."""
        task = self.session.task
        lowest = task.margins.lowest(self.session.checkpoint.model.config)
        aims = unseen_margins(self.now, self.known, unseen.whole, lowest, self.order)
        if self.terms is None or unseen.terms is None:
            return Aims.of_whole(task, aims)
        each = unseen_terms(aims, self.now, self.terms, unseen.whole, unseen.terms, lowest)
        return Aims(aims, task.terms, each)

    def at_present(self, encoded: Encoded) -> Aims:
        """The targets among these unseen examples, as the model knows them at present."""
        session, margins = self.session, self.session.task.margins
        losses = [session.task, *(() if self.terms is None else session.task.terms)]
        found = margins.of(session.several_losses(losses, encoded, "losses of unseen examples"))
        strata = np.zeros(len(encoded), dtype=np.int64)
        if self.kinds is not None:
            strata = strata_of(self.kinds, [session.task.strata(encoded).numpy()])[1]
        return self.at(Unseen(Known(found[:, 0], strata), found[:, 1:] if len(losses) > 1 else None))


def aiming_of(session: Session, file: StatisticsFile, forget: ForgetSet, passes: int = 0) -> Aiming:
    """Look at the forget set and at what remains, to tell which unseen examples are like them.

    Args:
        session: The model, before any step.
        file: Statistics with the losses of training and held-out examples.
        forget: The forget set.
        passes: By how many passes with dropout it is put in order; 0: by the margins as they are.

    Returns:
        It; by terms where the loss has some, and the statistics tell those of unseen examples.
    """
    task, stays = session.task, np.ones(len(file.rows), dtype=np.bool_)
    margins = task.margins
    stays[forget.training.positions(forget.encoded.ids)] = False
    stays = stays[file.used]
    of_training = np.zeros(0) if file.losses is None else file.losses[stays]
    now = Known(margins.of(forget.losses), np.zeros(len(forget.encoded), dtype=np.int64))
    known = Known(margins.of(of_training), np.zeros(int(stays.sum()), dtype=np.int64))
    kinds = None
    if file.strata is not None and file.holdout_strata is not None:
        kinds = file.strata[stays]
        of_known, of_forgotten = strata_of(kinds, [task.strata(forget.encoded).numpy()])
        now, known = replace(now, strata=of_forgotten), replace(known, strata=of_known)
    order, terms = margins_with_dropout(session, forget.encoded, passes), None
    if task.terms and file.holdout_terms is not None:
        terms = margins.of(session.several_losses(task.terms, forget.encoded, "forget losses"))
    return Aiming(session, now, terms, now.margins if order is None else order, known, kinds)


def unseen_of(file: StatisticsFile, aiming: Aiming) -> Unseen:
    """What held-out examples were known like when the statistics were made.

    Args:
        file: Statistics with their losses.
        aiming: Of a request.

    Returns:
        It.

    Raises:
        ArtifactError: The statistics tell another number of terms than the loss has.
    """
    task, terms = aiming.session.task, file.holdout_terms
    strata = np.zeros(len(file.holdout_losses), dtype=np.int64)
    if aiming.kinds is not None and file.holdout_strata is not None:
        strata = strata_of(aiming.kinds, [file.holdout_strata])[1]
    whole = Known(task.margins.of(file.holdout_losses), strata)
    if not task.terms or terms is None:
        return Unseen(whole, None)
    if terms.shape[1] != len(task.terms):
        raise ArtifactError(
            f"the statistics have {terms.shape[1]} terms of each held-out loss, expected {len(task.terms)}",
            hint="compute them again with 'speu fisher'",
        )
    return Unseen(whole, task.margins.of(terms))
