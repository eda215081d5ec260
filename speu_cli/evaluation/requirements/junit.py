"""Outcomes of gates as JUnit XML, which continuous integration shows as tests."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from speu_cli.evaluation.gates import GateResult
from speu_cli.evaluation.report.visible import visible

SUITE = "speu eval"
LONGEST = 2000


def junit(results: Sequence[GateResult], *, model: str, seconds: float) -> bytes:
    """Write each gate as a test case.

    Args:
        results: What became of the gates.
        model: What the model is called; the class of the cases.
        seconds: Time of the evaluation.

    Returns:
        XML: a gate that is not met is a failure, one whose metric was not computed an error.
    """
    failures = sum(not one.passed and one.value is not None for one in results)
    errors = sum(one.value is None for one in results)
    counts = {
        "name": SUITE,
        "tests": str(len(results)),
        "failures": str(failures),
        "errors": str(errors),
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }
    suites = Element("testsuites", counts)
    suite = SubElement(suites, "testsuite", counts)
    for one in results:
        _add_case(suite, one, model)
    indent(suites)
    content: bytes = tostring(suites, encoding="utf-8", xml_declaration=True)
    return content


def _add_case(suite: Element, result: GateResult, model: str) -> None:
    # What evaluating took is told once, of the suite: readers add up the times of the cases.
    case = SubElement(
        suite, "testcase", {"name": _shown(result.expression), "classname": _shown(model), "time": "0.000"}
    )
    told = "\n".join([_shown(result.reason), *([] if result.why is None else [f"why: {_shown(result.why)}"])])
    if result.passed:
        SubElement(case, "system-out").text = told
        return
    kind, type_ = ("error", "not computed") if result.value is None else ("failure", "not met")
    SubElement(case, kind, {"message": _shown(result.reason), "type": type_}).text = told


def _shown(text: str) -> str:
    """As XML can hold it: control characters, which it cannot, are written out."""
    return visible(text, LONGEST)
