"""``speu requests report``: of each request a record for the person who answers the data subject."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from speu_cli.artifacts.atomic import atomic_folder, check_output
from speu_cli.errors import InputError
from speu_cli.stages.requests.account import Account, account_of
from speu_cli.stages.requests.listing import find_request
from speu_cli.stages.requests.wording import as_markdown
from speu_cli.unlearning.requests.state import look_into_state

RECORD = re.compile(r"[0-9]{6,}-[A-Za-z0-9._-]+\.(md|json)|\..*\.lock")
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class ReportResult:
    """What was reported.

    Attributes:
        state: Folder of the state.
        output: Folder of the written records, or None.
        files: Their names, as Markdown and as JSON.
        requests: The records.
    """

    state: Path
    output: Path | None
    files: list[str]
    requests: list[Account]

    def markdown(self) -> str:
        """All records, one after the other."""
        return "\n".join(as_markdown(account) for account in self.requests)


def report_requests(
    state: Path, request_id: str | None = None, output: Path | None = None, *, force: bool = False
) -> ReportResult:
    """Give an account of requests, from the ledger alone.

    Args:
        state: Folder of the state.
        request_id: Names one request. Default: all of them.
        output: Folder to write the records into, two files a request. Default: nothing is written.
        force: An existing folder may be replaced, if it holds nothing else than records.

    Returns:
        The records.
    """
    if output is not None:
        _check_output(output, state, force=force)
    with look_into_state(state) as opened:
        entries = [find_request(opened, request_id)] if request_id is not None else opened.requests
        accounts = [account_of(opened, entry) for entry in entries]
    files = [_stem(account) + suffix for account in accounts for suffix in (".md", ".json")]
    if output is not None:
        with atomic_folder(output, force=force) as folder:
            for account in accounts:
                (folder / f"{_stem(account)}.md").write_text(as_markdown(account), encoding="utf-8")
                (folder / f"{_stem(account)}.json").write_text(_json(account), encoding="utf-8")
    return ReportResult(state, output, files, accounts)


def _check_output(output: Path, state: Path, *, force: bool) -> None:
    """Refuse a folder that could not or must not be written.

    Raises:
        InputError: It is there, and holds something else than records.
    """
    check_output(output, force=force, folder=True, inputs=(state,))
    if state.resolve() in output.resolve().parents:
        raise InputError(f"output {output} is in the state {state}", hint="choose another place")
    odd = (
        [path.name for path in output.iterdir() if not RECORD.fullmatch(path.name)] if output.exists() else []
    )
    if odd:
        raise InputError(f"{output} holds something else than records ({odd[0]}): it is not replaced")


def _stem(account: Account) -> str:
    """A file name that sorts by the ledger, and that no name of a request can turn into another place."""
    return f"{account.number:06d}-{NOT_IN_NAMES.sub('_', account.request_id)[:80]}"


def _json(account: Account) -> str:
    return json.dumps(account.record(), indent=2, sort_keys=True, allow_nan=False) + "\n"
