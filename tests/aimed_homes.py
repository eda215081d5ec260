"""Homes with statistics, opened as a step that aims opens them."""

import speu_cli
from memorised import Home
from speu_cli.data.columns import DataChoice
from speu_cli.stages.aimed.aiming import aiming_of, unseen_of
from speu_cli.stages.aimed.aims import Aims
from speu_cli.stages.request import ForgetSet, open_forget_set, open_with_statistics
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import Session
from speu_cli.statistics.files import StatisticsFile


def with_statistics(home: Home) -> Home:
    train = home.path("train.jsonl")
    speu_cli.fisher(home.model, train, home.folder / "fisher", holdout=home.path("dev.jsonl"))
    return home


def opened(home: Home) -> tuple[Session, StatisticsFile, ForgetSet]:
    session, file = open_with_statistics(home.model, home.folder / "fisher", DataChoice(), Runtime())
    data, ids = home.path("train.jsonl"), home.path("ids.txt")
    forget = open_forget_set(session, file, data, ids, forget_examples="all", unseen_loss=file.unseen_loss)
    return session, file, forget


def aims_of(session: Session, file: StatisticsFile, forget: ForgetSet, passes: int = 0) -> Aims:
    """Where a request aims before any step."""
    aiming = aiming_of(session, file, forget, passes)
    return aiming.at(unseen_of(file, aiming))
