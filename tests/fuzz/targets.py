"""The readers of what comes from outside, each with files that it can read, for fuzzers to damage.

A reader may refuse a file with an error that knows its exit code, 2 or 4. Anything else is a bug: another
error, or content that is not what stands in the file.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from evaluated import evaluation
from serving import FIXED, begin, home_with_statistics, request

import speu_cli
from speu_cli.artifacts.digest import canonical_json, hash_text
from speu_cli.artifacts.format import read_artifact
from speu_cli.checkpoints.identity import ModelIdentity
from speu_cli.data.answers import Answers
from speu_cli.data.columns import DataChoice
from speu_cli.data.ids import read_ids
from speu_cli.data.sources.load import load_examples
from speu_cli.errors import SpeuError
from speu_cli.masks.files import read_mask
from speu_cli.stages.collection import CollectionChoice
from speu_cli.stages.runtime import Runtime
from speu_cli.stages.session import open_session
from speu_cli.statistics.files import read_statistics
from speu_cli.unlearning.reference import ReferenceOrigin, read_reference, write_reference
from speu_cli.unlearning.requests.forgotten import read_forgotten
from speu_cli.unlearning.requests.ledger import read_ledger
from speu_cli.unlearning.requests.pending import Pending, read_pending
from speu_cli.unlearning.requests.pending import begin as begin_pending
from speu_cli.unlearning.requests.salt import read_salt
from speu_cli.unlearning.requests.settled import read_settings
from speu_cli.unlearning.requests.watched import read_watched
from tiny import write_ids

EXIT_CODES = {2, 4}
LINES = {
    "ids": ["a\nb\n\n ü \n", '["a", 1, "b"]', "\ufeffone\r\ntwo"],
    "rows.jsonl": ['{"id": "a", "text": "x y", "label": 0}\n{"id": "b", "text": "ü", "label": 1}\n'],
    "rows.json": ['{"id": 1, "text": "x", "label": "yes"}\n{"id": 2, "text": "y", "label": "no"}'],
    "rows.csv": ['id,text,label\n1,"a ""b"", c",0\n2,d,1\n'],
    "questions.jsonl": [
        '{"id": "q", "question": "a b?", "context": "c d e", "answers": {"text": ["d"], "answer_start": [2]}}'
    ],
    "questions.json": [
        '{"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": "c d e", "qas": ['
        '{"id": "q", "question": "a?", "answers": [{"text": "d", "answer_start": 2}]}, '
        '{"id": "r", "question": "b?", "answers": [], "is_impossible": true}]}]}]}'
    ],
    "rows.tsv": ['id\tsentence1\tsentence2\tscore\n1\ta "b\tc\t0.5\n2\td\te\t1\n'],
}

Read = Callable[[Path], None]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: What it reads, and the name of the file.
        seeds: Files that it can read.
        read: Reads a file, and checks what was read as far as that can be told.
    """

    name: str
    seeds: list[bytes]
    read: Read

    def reads(self, path: Path, content: bytes) -> bool:
        """Write a file and give it to the reader, see :meth:`reads_file`."""
        path.write_bytes(content)
        return self.reads_file(path)

    def reads_file(self, path: Path) -> bool:
        """Give the reader a file; raises whatever the reader should not.

        Args:
            path: The file; the folder that it is in may be what is read.

        Returns:
            Whether it was read, and not refused.

        Raises:
            AssertionError: It was refused with a code that is not for files.
        """
        try:
            self.read(path)
        except SpeuError as error:
            if error.exit_code not in EXIT_CODES or "\n" in str(error):
                raise AssertionError(f"refused with code {error.exit_code}: {error}") from error
            return False
        return True


def targets(folder: Path) -> dict[str, Target]:
    """All readers.

    Args:
        folder: Where the files are made that they can read.

    Returns:
        The readers by name.
    """
    home = home_with_statistics(folder / "home", CollectionChoice(directions="auto"))
    state = begin(home, folder / "state", step=replace(FIXED, stiffness=1.0))
    request(state, ["row-0-0"], "model", request_id="R-1")
    begin_pending(state, Pending("R-2", "0" * 64, "model"))
    session = open_session(home.model, DataChoice(), Runtime())
    identity, layout = session.checkpoint.identity, session.layout
    statistics = read_statistics(home.folder / "fisher.safetensors").statistics

    entries = folder / "entry-mask.safetensors"
    of_entries = {"data": home.path("train.jsonl"), "kinds": "heads", "within": "wanda:0.9"}
    ids = str(write_ids(folder / "forget", ["row-0-0"]))
    speu_cli.mask(home.model, home.folder / "fisher.safetensors", entries, forget=ids, **of_entries)

    origin = ReferenceOrigin(identity, session.settings(session.read(of_entries["data"])).to_record(), None)
    rows, values = torch.arange(3), {"forget": torch.linspace(-2, -1, 3)}
    write_reference(folder / "reference.safetensors", values, rows, origin)

    def mask(path: Path) -> None:
        read_mask(path, identity, layout)

    def forgotten(path: Path) -> None:
        read_forgotten(path, _digest(path), _model(path), statistics)

    def watched(path: Path) -> None:
        read_watched(path, _digest(path))

    of_files: dict[str, tuple[Path, Read]] = {
        "statistics": (home.folder / "fisher.safetensors", lambda path: void(read_statistics(path))),
        "mask.safetensors": (state / "mask.safetensors", mask),
        "entry-mask.safetensors": (entries, mask),
        "reference.safetensors": (
            folder / "reference.safetensors",
            lambda path: void(read_reference(path, rows, origin)),
        ),
        "forgotten": (state / "forgotten-000001.safetensors", forgotten),
        "watched.safetensors": (state / "watched.safetensors", watched),
        "ledger.jsonl": (state / "ledger.jsonl", _ledger),
        "state.json": (state / "state.json", lambda path: void(read_settings(path.parent))),
        "pending.json": (state / "pending.json", lambda path: void(read_pending(path.parent))),
        "salt": (state / "salt", lambda path: void(read_salt(path))),
    }
    of_lines = {name: [text.encode() for text in texts] for name, texts in LINES.items()}
    found = {name: Target(name, [path.read_bytes()], read) for name, (path, read) in of_files.items()}
    found |= {
        name: Target(name, seeds, _questions if name.startswith("questions") else _rows)
        for name, seeds in of_lines.items()
    }
    run = json.dumps(evaluation(references=2)).encode()
    found["evaluation.json"] = Target("evaluation.json", [run], _evaluation)
    return found | {"ids": Target("ids", of_lines["ids"], _ids)}


def _evaluation(path: Path) -> None:
    speu_cli.compare({"run": path}, sort_by="gap.average").contents()


def void(_: object) -> None:
    """Drop what was read."""


def _digest(path: Path) -> str:
    return read_artifact(path).digest


def _model(path: Path) -> ModelIdentity:
    """The model that a file says it belongs to, so that nothing is refused for that alone."""
    try:
        return ModelIdentity(**read_artifact(path).record["model"])
    except (KeyError, TypeError):
        return ModelIdentity("", "", "", "")


def _ids(path: Path) -> None:
    ids = read_ids(str(path))
    assert ids and len(set(ids)) == len(ids) and all(isinstance(one, str) for one in ids)


def _rows(path: Path) -> None:
    examples = load_examples(str(path), DataChoice())
    assert len(set(examples.ids)) == len(examples) > 0
    assert all(isinstance(one.text, str) for one in examples)


def _questions(path: Path) -> None:
    examples = load_examples(str(path), DataChoice(task="question-answering"))
    assert len(set(examples.ids)) == len(examples) > 0
    for one in examples:
        assert isinstance(one.label, Answers) and isinstance(one.text_pair, str)
        assert len(one.label.texts) == len(one.label.starts)


def _ledger(path: Path) -> None:
    ledger, content = read_ledger(path), path.read_bytes()
    assert b"".join(entry.line for entry in ledger.entries) == content[: ledger.end]
    assert len(content) == ledger.end + ledger.torn
    for entry in ledger.entries:
        fields = json.loads(entry.line)
        assert f"{canonical_json(fields)}\n".encode() == entry.line
        assert hash_text(canonical_json({k: v for k, v in fields.items() if k != "sha256"})) == entry.sha256
