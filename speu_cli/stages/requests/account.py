"""The account of a request: what was asked, what was done, what it showed, and what it does not prove."""

from dataclasses import asdict, dataclass
from typing import Any

from speu_cli.unlearning.requests.capacity import Capacity
from speu_cli.unlearning.requests.ledger import Entry
from speu_cli.unlearning.requests.state import State

NOT_PROVEN = (
    "That the new model is one that never saw the examples: it approximates the model that training without "
    "them would give. Only a retrained model to compare with, or attacks on this one, tell how closely.",
    "That nothing about the person is left: other examples that remain in the training set may say the same.",
    "That the examples are gone from the training data, from backups, logs or older models: only the named "
    "model was made without them.",
    "That the machine that wrote this ledger was honest. Whoever can write the ledger can write another one; "
    "the head of the ledger, noted elsewhere at the time, shows whether it was changed since.",
)


@dataclass(frozen=True)
class Account:
    """The account of a request.

    Attributes:
        request_id: Names it.
        number: Of its entry in the ledger.
        time: When it was served, UTC.
        asked: Number of ids, how many were new, and their salted hashes.
        done: Method, models before and after, what could change.
        showed: Losses before and after, and what the model has borne in all.
        not_proven: What none of this proves.
        sha256: Hash of the entry, which holds that of the entry before.
    """

    request_id: str
    number: int
    time: str
    asked: dict[str, Any]
    done: dict[str, Any]
    showed: dict[str, Any]
    not_proven: tuple[str, ...]
    sha256: str

    @property
    def capacity(self) -> Capacity:
        """What the model has borne in all."""
        return Capacity.of(self.showed["capacity"])

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {"format": "speu-request", "version": 1, **asdict(self)}


def account_of(state: State, entry: Entry) -> Account:
    """Give the account of a request, from the ledger alone.

    Args:
        state: Its state.
        entry: Its entry.

    Returns:
        The account.
    """
    record = entry.record
    done = ("mode", "method", "model_before", "model_after", "output", "rate", "selected")
    showed = ("loss_before", "loss_after", "capacity", "retrain")
    return Account(
        request_id=record["id"],
        number=entry.number,
        time=record["time"],
        asked={
            "examples": record["forget"]["count"] + record["forget"]["before"],
            "forgotten_before": record["forget"]["before"],
            "salted_ids": record["forget"]["ids"],
        },
        done={
            **{name: record[name] for name in done},
            "parameters_changed": record["parameters_changed"],
            "forgotten_in_all": record["in_all"],
            "training_examples": state.settings.examples,
            "versions": record["versions"],
        },
        showed={
            **{name: record[name] for name in showed},
            "unseen_loss": record["step"]["target_loss"],
        },
        not_proven=NOT_PROVEN,
        sha256=entry.sha256,
    )
