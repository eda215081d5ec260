"""The documentation says what is there: links, files, names, command lines and make targets."""

import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import reduce
from itertools import takewhile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
import yaml

from speu_cli.cli.app import app
from speu_cli.cli.main import main
from tiny import tiny_checkpoint, tiny_rows, write_ids, write_rows

ROOT = Path(__file__).parents[1]
PAGES = [page for folder in (".", "docs", "experiments") for page in sorted((ROOT / folder).glob("*.md"))]
GENERATED = (
    "cli.md",
    "python.md",
    "metric-table.md",
)  # by docs/generate_….py, from the code itself
WRITTEN = [page for page in PAGES if page.name not in GENERATED]

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
ENDS_A_COMMAND = set("|;&<>")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """What a link may name after #, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_files_of_code_are_there(page: Path) -> None:
    ours = [
        f"/{name_of(path)}"
        for folder in ("speu_cli", "tests", "docs", "benchmarks", "experiments")
        for path in (ROOT / folder).rglob("*.py")
    ]
    ours += [f"/{name_of(path)}" for path in (ROOT / "sample_data").glob("*.py")]
    for path in re.findall(r"[\w/]+\.py\b", " ".join(INLINE.findall(prose(page)))):
        assert any(one.endswith(f"/{path.lstrip('/')}") for one in ours), path


def named_in_method() -> Iterator[tuple[str, str]]:
    """Module and name of everything in the table of docs/method.md."""
    for line in (ROOT / "docs" / "method.md").read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"\|.*\| `(speu_cli/[\w/]+)\.py` \| (.+) \|", line)
        if found:
            yield from ((found[1].replace("/", "."), name) for name in INLINE.findall(found[2]))


@pytest.mark.parametrize(("module", "name"), named_in_method())
def test_what_the_method_page_names_is_there(module: str, name: str) -> None:
    assert callable(reduce(getattr, name.split("."), importlib.import_module(module)))


def test_the_method_page_names_every_equation_of_a_docstring() -> None:
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    for path in (ROOT / "speu_cli").rglob("*.py"):
        for number in re.findall(r"Eq\. (\d+)", path.read_text(encoding="utf-8")):
            assert f"| Eq. {number} |" in page, f"Eq. {number} of {name_of(path)}"


def command_lines() -> Iterator[tuple[str, str, bool]]:
    """Page, command line, and whether it is whole (from a fenced block) or may be a part."""
    for page in WRITTEN:
        for _, block in FENCED.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r" *(\$ )?speu ", line) and not line.startswith("speu: "):
                    yield name_of(page), line.strip().removeprefix("$ "), True
        yield from (
            (name_of(page), code, False) for code in INLINE.findall(prose(page)) if code.startswith("speu ")
        )


def words_of(line: str) -> list[str]:
    """The words after ``speu``, as the shell has them, up to a pipe or redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(takewhile(lambda word: not ENDS_A_COMMAND & set(word[:1]), lexer))[1:]


def options_of(command: Any) -> set[str]:
    return {"-h", "--help"} | {name for param in command.params for name in param.opts}


@pytest.mark.parametrize(("page", "line", "whole"), command_lines())
def test_command_lines_are_those_of_the_tool(page: str, line: str, whole: bool) -> None:
    words = words_of(line)
    group: Any = typer.main.get_command(app)
    if not words or not re.fullmatch("[a-z]+", words[0]):  # of speu itself, or of any command
        assert {word for word in words if word.startswith("--")} <= options_of(group)
        return
    if words[0] == "requests" and len(words) > 1:
        group, words = group.commands["requests"], words[1:]
    command = group.commands[words[0]]
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert given <= options_of(command)
    if whole:
        command.make_context(words[0], words[1:])


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_make_targets_are_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    blocks = "\n".join(block for _, block in FENCED.findall(page.read_text(encoding="utf-8")))
    named = re.findall(r"^(?:\$ )?make ([a-z-]+)", blocks, re.MULTILINE)
    named += [code.split()[1] for code in INLINE.findall(prose(page)) if code.startswith("make ")]
    assert set(named) <= targets


def test_the_library_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = (code for kind, code in FENCED.findall((ROOT / "README.md").read_text()) if kind == "python")
    folder = tmp_path / "sample_data"
    rows = tiny_rows(60)
    tiny_checkpoint(folder / "model")
    write_rows(folder / "train.jsonl", rows)
    for seed, name in enumerate(("heldout", "test"), start=1):
        write_rows(folder / f"{name}.jsonl", tiny_rows(30, seed=seed))
    write_ids(folder / "forget_64.txt", [row["id"] for row in rows[:6]])
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 (the example is ours)
    assert capsys.readouterr().out.startswith("forget loss ")


def test_the_guide_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All commands in their order; the page shows lines of what they print, up to their figures."""
    page = (ROOT / "docs" / "first-request.md").read_text(encoding="utf-8")
    folder = Path(shutil.copytree(ROOT / "sample_data", tmp_path / "first-request"))
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    monkeypatch.chdir(folder)
    blocks = [block.splitlines() for kind, block in FENCED.findall(page) if kind == "console"]
    assert len(blocks) > 5
    for command, *shown in blocks:
        assert main(words_of(command.removeprefix("$ "))) == 0, command
        printed = {re.split(r" {2,}", line)[0] for line in capsys.readouterr().out.splitlines()}
        assert {re.split(r" {2,}", line)[0] for line in shown} <= printed


def pipelines() -> tuple[list[str], list[str]]:
    """The commands of docs/ci.md for GitHub and for GitLab, the first of them outside of the sample data."""
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    github, gitlab = (yaml.safe_load(block) for kind, block in FENCED.findall(page) if kind == "yaml")
    steps = [step for step in github["jobs"]["forget"]["steps"] if "run" in step]
    assert [step.get("working-directory") for step in steps[1:]] == ["sample_data"] * (len(steps) - 1)
    install, where, *commands = gitlab["forget"]["script"]
    assert where == "cd sample_data"
    return [step["run"] for step in steps], [install, *commands]


def test_the_pipelines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the sample data, all but the installation; what is kept of them is then there."""
    github, gitlab = pipelines()
    assert github == gitlab
    assert github[0] == "python -m pip install ."
    folder = Path(shutil.copytree(ROOT / "sample_data", tmp_path / "sample_data"))
    monkeypatch.chdir(folder)
    for line in github[1:]:
        assert line.startswith("speu ")
        assert main(words_of(line)) == 0, line
    outcomes = [one.tag for one in ElementTree.parse(folder / "gates.xml").iter() if one.tag != "testcase"]
    assert outcomes == ["testsuites", "testsuite", *["system-out"] * 3]
    assert (folder / "report.html").is_file()


def test_the_policy_that_is_shown_is_that_of_the_sample_data() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    (shown,) = (block for kind, block in FENCED.findall(page) if kind == "toml")
    assert (ROOT / "sample_data" / "policy.toml").read_text(encoding="utf-8").endswith(shown)
