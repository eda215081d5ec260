import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from speu_cli.data.columns import Columns, DataChoice
from speu_cli.data.examples import Example
from speu_cli.data.sources import load_examples
from speu_cli.errors import InputError

ASK_NOTHING = DataChoice()
ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "good, really", "label": 1, "extra": "x"},
    {"id": "b", "text": 'the "bad"\none, Zoë', "label": 0, "extra": "y"},
]
WANTED = [Example("a", "good, really", None, 1), Example("b", 'the "bad"\none, Zoë', None, 0)]


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def comma_separated(rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def write(path: Path, content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return str(path)


def refused(source: str, choice: DataChoice = ASK_NOTHING) -> str:
    """Load, expect one line of error, and give it without the folder."""
    with pytest.raises(InputError) as caught:
        load_examples(source, choice)
    message = str(caught.value)
    assert message.startswith(source)
    assert "\n" not in message
    assert "\n" not in (caught.value.hint or "")
    return message.replace(source, Path(source).name)


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "T.JSONL", "t.jsonl.gz", "t.json.gz"])
def test_json_lines(tmp_path: Path, name: str) -> None:
    examples = load_examples(write(tmp_path / name, json_lines(ROWS)), ASK_NOTHING)
    assert list(examples) == WANTED
    assert examples.source == name
    assert examples.columns == Columns("id", "text", None, "label")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv(tmp_path: Path, name: str, mark: bytes) -> None:
    source = write(tmp_path / name, mark + comma_separated(ROWS))
    assert list(load_examples(source, ASK_NOTHING)) == WANTED


def test_a_byte_order_mark_before_json_is_skipped(tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", b"\xef\xbb\xbf" + json_lines(ROWS))
    assert list(load_examples(source, ASK_NOTHING)) == WANTED


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tsv_takes_unbalanced_quotes_as_text(tmp_path: Path, name: str, end: str) -> None:
    lines = ["sentence1\tsentence2\tscore", '"a\tb\t5.000', 'c"\td, e\t3', "f\tg\t0.25", ""]
    examples = load_examples(write(tmp_path / name, end.join(lines)), ASK_NOTHING)
    assert list(examples) == [
        Example("0", '"a', "b", 5.0),
        Example("1", 'c"', "d, e", 3),
        Example("2", "f", "g", 0.25),
    ]
    assert [type(row.label) for row in examples] == [float, int, float]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("3", 3),
        ("-1", -1),
        ("+2", 2),
        ("0", 0),
        ("2.5", 2.5),
        ("-.5", -0.5),
        ("1e-3", 0.001),
        ("2.", 2.0),
        ("007", "007"),
        ("1_000", "1_000"),
        (" 1", " 1"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1e999", "1e999"),
        ("٣", "٣"),
        ("positive", "positive"),
        ("True", "True"),
        ("9" * 40, "9" * 40),
    ],
)
def test_csv_labels_are_numbers_where_the_text_is_one(
    tmp_path: Path, written: str, label: int | float | str
) -> None:
    (row,) = load_examples(write(tmp_path / "t.csv", f"text,label\n12,{written}\n"), ASK_NOTHING)
    assert (row.label, type(row.label), row.text) == (label, type(label), "12")


@pytest.mark.parametrize(
    ("written", "label"), [("true", 1), ("false", 0), ("2", 2), ("2.5", 2.5), ('"2"', "2"), ('"x"', "x")]
)
def test_typed_labels_stay_as_they_are(tmp_path: Path, written: str, label: int | float | str) -> None:
    (row,) = load_examples(write(tmp_path / "t.jsonl", f'{{"text": "a", "label": {written}}}'), ASK_NOTHING)
    assert (row.label, type(row.label)) == (label, type(label))


def test_ids_are_texts(tmp_path: Path) -> None:
    lines = '{"idx": 7, "text": "a", "label": 1}\n{"idx": "007", "text": "a", "label": 1}\n'
    assert load_examples(write(tmp_path / "t.jsonl", lines), ASK_NOTHING).ids == ["7", "007"]


def test_without_an_id_column_ids_are_row_numbers_that_blank_lines_do_not_shift(tmp_path: Path) -> None:
    lines = '\n{"text": "a", "label": 1}\n  \n{"text": "b", "label": 1}\n'
    examples = load_examples(write(tmp_path / "t.jsonl", lines), ASK_NOTHING)
    assert examples.ids == ["0", "1"]
    assert examples.columns.id is None
    table = write(tmp_path / "t.csv", "text,label\n\na,1\n\nb,1\n")
    assert load_examples(table, ASK_NOTHING).ids == ["0", "1"]


def test_json_columns_are_those_of_any_row(tmp_path: Path) -> None:
    lines = '{"text": "a", "label": 1}\n{"id": "x", "text": "b", "label": 1}\n'
    assert refused(write(tmp_path / "t.jsonl", lines)) == (
        "t.jsonl, line 1, column 'id': got no such column in this row, "
        "expected a non-empty text or a whole number"
    )


def test_a_very_long_csv_field_is_read(tmp_path: Path) -> None:
    text = "word " * 100_000
    (row,) = load_examples(write(tmp_path / "t.csv", f'text,label\n"{text}",1\n'), ASK_NOTHING)
    assert row.text == text


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]}), path)
    examples = load_examples(str(path), ASK_NOTHING)
    assert list(examples) == WANTED
    assert examples.source == "t.parquet"


def test_parquet_of_many_batches_and_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    n = 70_000
    table = pa.table({"doc.text": ["a"] * n, "label": [True] * n, "idx": pa.array(range(n), pa.int32())})
    pq.write_table(table, path, row_group_size=9_000)
    examples = load_examples(str(path), DataChoice(text_column="doc.text"))
    assert len(examples) == n
    assert examples[-1] == Example(str(n - 1), "a", None, 1)
    assert type(examples[0].label) is int


def test_parquet_rows_are_named_from_0(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1.0, None]}), path)
    assert refused(str(path)) == (
        "t.parquet, row 1 (from 0), column 'label': got null, "
        "expected a label: a finite number or a non-empty text"
    )


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_corrupt_parquet(tmp_path: Path, damage: bytes) -> None:
    message = refused(write(tmp_path / "t.parquet", damage))
    assert message.startswith("t.parquet: cannot be read, expected a Parquet file (")


def test_parquet_with_damaged_pages(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pa.table({"text": [f"text {number}" for number in range(999)], "label": range(999)})
    pq.write_table(table, path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:2000] = bytes(1996)
    path.write_bytes(content)
    assert refused(str(path)).startswith("t.parquet: cannot be read, expected a Parquet file (")


def test_a_saved_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_list(ROWS).with_format("numpy").save_to_disk(folder)
    examples = load_examples(str(folder), ASK_NOTHING)
    assert list(examples) == WANTED
    assert type(examples[0].label) is int
    assert examples.source == "saved"
    assert list(load_examples(f"{folder}/", DataChoice(split="ignored"))) == WANTED


def test_a_saved_data_set_of_several_splits(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    train, test = (datasets.Dataset.from_list([row]) for row in ROWS)
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(folder)
    assert list(load_examples(str(folder), DataChoice(split="test"))) == WANTED[1:]
    assert list(load_examples(str(folder / "train"), ASK_NOTHING)) == WANTED[:1]
    assert refused(str(folder)) == "saved: got no split, expected one of 'train', 'test'"
    assert refused(str(folder), DataChoice(split="dev")) == (
        "saved: no split 'dev', expected one of 'train', 'test'"
    )


def test_class_labels_are_their_numbers(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    saved = datasets.Dataset.from_dict({"text": ["a", ""], "label": [1, 0]}, features=features)
    saved.save_to_disk(tmp_path / "both")
    saved.select([0]).save_to_disk(tmp_path / "one")
    assert load_examples(str(tmp_path / "one"), ASK_NOTHING)[0].label == 1
    assert refused(str(tmp_path / "both")) == (
        "both, row 1 (from 0), column 'text': got an empty text, expected a non-empty text"
    )


def test_a_folder_that_is_no_saved_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert refused(str(folder)) == (
        "folder: got a folder without state.json, expected a folder saved by datasets (save_to_disk)"
    )
    write(folder / "dataset_dict.json", "{")
    assert refused(str(folder)).startswith("folder: cannot be read, expected a folder saved by datasets")


def test_a_damaged_saved_data_set(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    (arrow,) = folder.glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    assert refused(str(folder)).startswith("saved: cannot be read, expected a folder saved by datasets")
    write(folder / "state.json", "[]")
    assert refused(str(folder)).startswith("saved: cannot be read, expected a folder saved by datasets")


@pytest.mark.parametrize(("source", "config"), [("hub:user/set", None), ("hub:glue:sst2", "sst2")])
def test_hub(monkeypatch: pytest.MonkeyPatch, source: str, config: str | None) -> None:
    asked: list[object] = []

    def load_dataset(*args: object, **options: object) -> datasets.Dataset:
        asked.append((args, options))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    examples = load_examples(source, DataChoice(split="train"))
    assert list(examples) == WANTED
    assert examples.source == source
    assert asked == [((source.split(":")[1], config), {"split": "train"})]


def test_hub_errors_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def load_dataset(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach it\n\nat all " + "." * 999)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    split = DataChoice(split="train")
    message = refused("hub:nobody", split)
    assert message.startswith(
        "hub:nobody: cannot be read, expected a data set on the hub (Couldn't reach it at all"
    )
    assert len(message) < 300
    assert refused("hub:nobody") == "hub:nobody: got no split, expected one"
    for malformed in ("hub:", "hub:a/b/c", "hub:a:b:c", "hub:/etc", "hub:a:"):
        with pytest.raises(InputError, match="got a malformed name, expected hub:NAME or hub:NAME:CONFIG"):
            load_examples(malformed, split)
    (tmp_path / "glue").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "also a local file or folder" in refused("hub:glue", split)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": null, "label": 1}', "column 'text': got null, expected a non-empty text"),
        ('{"text": "", "label": 1}', "column 'text': got an empty text, expected a non-empty text"),
        ('{"text": " \\t", "label": 1}', "column 'text': got ' \\t', expected a non-empty text"),
        ('{"text": 5, "label": 1}', "column 'text': got 5, expected a non-empty text"),
        ('{"label": 1}', "column 'text': got no such column in this row, expected a non-empty text"),
        ('{"text": "\\ud800", "label": 1}', "column 'text': got '\\ud800', expected valid Unicode"),
        ('{"text": "a"}', "column 'label': got no such column in this row, expected a label: "),
        ('{"text": "a", "label": null}', "column 'label': got null, expected a label: "),
        ('{"text": "a", "label": " "}', "column 'label': got ' ', expected a label: "),
        ('{"text": "a", "label": [1]}', "column 'label': got [1], expected a label: "),
        ('{"text": "a", "label": 1e999}', "column 'label': got inf, expected a label: "),
    ],
)
def test_a_row_that_cannot_be_an_example(tmp_path: Path, line: str, message: str) -> None:
    source = write(tmp_path / "t.jsonl", f'{{"text": "fine", "label": 0}}\n\n{line}\n')
    assert refused(source).startswith(f"t.jsonl, line 3, {message}")


@pytest.mark.parametrize("value", ["null", '""', "1.0", "true", "[1]"])
def test_a_row_without_an_id(tmp_path: Path, value: str) -> None:
    message = refused(write(tmp_path / "t.jsonl", f'{{"id": {value}, "text": "a", "label": 0}}'))
    assert message.startswith("t.jsonl, line 1, column 'id': got ")
    assert message.endswith(", expected a non-empty text or a whole number")


def test_a_pair_must_be_whole(tmp_path: Path) -> None:
    lines = '{"text": "a", "text_pair": "b", "label": 0}\n{"text": "a", "text_pair": null, "label": 0}\n'
    source = write(tmp_path / "t.jsonl", lines)
    assert refused(source) == "t.jsonl, line 2, column 'text_pair': got null, expected a non-empty text"
    assert load_examples(source, DataChoice(text_pair_column=""))[1].text_pair is None


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "t.jsonl", json.dumps({"text": ["a"] * 999, "label": 0})))
    assert len(message) < 120


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label": 1', "got bad JSON ("),
        ('{"text": "a", "label": NaN}', "got bad JSON (NaN is not JSON), expected one object"),
        ('{"text": "a", "label": ' + "9" * 5000 + "}", "got bad JSON ("),
        ('{"text": ' + "[" * 100_000, "got bad JSON ("),
        ('["a", 1]', "got a JSON list, expected one object"),
        ("3", "got a JSON int, expected one object"),
    ],
)
def test_bad_json(tmp_path: Path, line: str, message: str) -> None:
    source = write(tmp_path / "t.jsonl", f'{{"text": "fine", "label": 0}}\n{line}\n')
    assert refused(source).startswith(f"t.jsonl, line 2: {message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            "text,label\na,1\nb\n",
            "t.csv, line 3: got 1 fields, expected 2, one for each column of the first line",
        ),
        (
            "t.csv",
            'text,label\n"a\n\nb",1\n"c\nd",1,2\n',
            "t.csv, line 5: got 3 fields, expected 2, one for each column of the first line",
        ),
        (
            "t.tsv",
            "text\tlabel\n\t1\n",
            "t.tsv, line 2, column 'text': got an empty text, expected a non-empty text",
        ),
        (
            "t.csv",
            "text,label\na,\n",
            "t.csv, line 2, column 'label': got an empty text, expected a label: "
            "a finite number or a non-empty text",
        ),
        (
            "t.csv",
            "text,text,label\na,b,1\n",
            "t.csv: column 'text' is there twice, expected different names",
        ),
    ],
)
def test_bad_csv(tmp_path: Path, name: str, content: str, message: str) -> None:
    assert refused(write(tmp_path / name, content)) == message


@pytest.mark.parametrize("record", ['"never closed,1\nb,1\n', '"a"b,1\n', "a\rb,1\n"])
def test_csv_quotes_that_cannot_be_read(tmp_path: Path, record: str) -> None:
    message = refused(write(tmp_path / "t.csv", f"text,label\nfine,0\n{record}"))
    assert message.startswith("t.csv, line 3: got a record that cannot be read (")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", ""),
        ("t.jsonl", "\n \n"),
        ("t.jsonl.gz", ""),
        ("t.csv", ""),
        ("t.csv", "text,label\n"),
        ("t.tsv", "text\tlabel\n\n"),
    ],
)
def test_a_source_without_rows(tmp_path: Path, name: str, content: str) -> None:
    message = refused(write(tmp_path / name, content))
    assert message == f"{name}: got no rows, expected at least one example"


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}),
        tmp_path / "t.parquet",
    )
    assert refused(str(tmp_path / "t.parquet")) == "t.parquet: got no rows, expected at least one example"


@pytest.mark.parametrize("name", ["t.jsonl", "t.csv", "t.csv.gz"])
def test_bad_utf8_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    content = (json_lines(ROWS) if "json" in name else b"text,label\nfine,0\n") + b"caf\xe9,1\n"
    assert refused(write(tmp_path / name, content)) == f"{name}, line 3: got byte 0xe9, expected UTF-8 text"


@pytest.mark.parametrize("keep", [5, -20, -4])
@pytest.mark.parametrize("name", ["t.jsonl.gz", "t.csv.gz"])
def test_truncated_gzip(tmp_path: Path, name: str, keep: int) -> None:
    rows = [
        {"id": f"{number * 7919 % 10007}", "text": f"text {number}", "label": 1} for number in range(2000)
    ]
    path = tmp_path / name
    source = write(path, json_lines(rows) if "json" in name else comma_separated(rows))
    path.write_bytes(path.read_bytes()[:keep])
    assert refused(source).startswith(f"{name}: got a broken gzip file after line ")


def test_no_gzip_and_damaged_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(json_lines(ROWS))
    assert refused(str(path)).startswith("t.jsonl.gz: got a broken gzip file after line 0")
    content = bytearray(gzip.compress(json_lines(ROWS)))
    content[20] ^= 255
    path.write_bytes(content)
    assert "broken gzip file" in refused(str(path))


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    assert refused(str(tmp_path / "no.jsonl")) == (
        "no.jsonl: no such file, expected a file or folder of examples"
    )
    assert refused(write(tmp_path / "t.txt", "a")) == (
        "t.txt: got an unknown kind of file, expected one of "
        ".jsonl, .jsonl.gz, .json, .json.gz, .csv, .csv.gz, .tsv, .tsv.gz, .parquet"
    )


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    source = write(tmp_path / "t.jsonl", json_lines(ROWS))
    monkeypatch.setattr("builtins.open", denied)
    assert refused(source) == "t.jsonl: cannot be read: permission denied"


def test_duplicate_ids(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^t.jsonl: id 'a' is there twice, in rows 0 and 2 \(from 0\)"):
        load_examples(write(tmp_path / "t.jsonl", json_lines([*ROWS, ROWS[0]])), ASK_NOTHING)


def test_heavy_libraries_are_loaded_only_where_needed(tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", json_lines(ROWS))
    code = (
        "import sys\n"
        "from speu_cli.data.columns import DataChoice\n"
        "from speu_cli.data.sources import load_examples\n"
        f"load_examples({source!r}, DataChoice())\n"
        "sys.exit(bool({'datasets', 'pyarrow', 'pandas', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
