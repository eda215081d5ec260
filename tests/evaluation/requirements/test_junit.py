from xml.etree import ElementTree

import pytest

from reports import HOSTILE
from speu_cli.evaluation.gates import GateResult
from speu_cli.evaluation.requirements.junit import junit

MET = GateResult("a>=1", True, 2.0, "2.0 is >= 1.0", "we said so")
NOT_MET = GateResult("b<1", False, 2.0, "2.0 is not < 1.0", "we said so")
NOT_COMPUTED = GateResult("c<1", False, None, "c could not be computed")
ODD = [*HOSTILE, "]]>", "\x00\x08\x0b\ufffe\uffff\ud800", "&amp;<!--", "line\nbreak"]


def parsed(results, **settings):
    settings = {"model": "out/model", "seconds": 2.34567} | settings
    return ElementTree.fromstring(junit(results, **settings))


def test_counts_and_outcomes():
    suites = parsed([MET, NOT_MET, NOT_COMPUTED, MET])
    (suite,) = suites
    for counted in (suites, suite):
        counts = {"tests": "4", "failures": "1", "errors": "1", "skipped": "0", "time": "2.346"}
        assert counted.attrib == {"name": "speu eval", **counts}
    met, not_met, not_computed, _ = suite
    assert (met.get("name"), met.get("classname")) == ("a>=1", "out/model")
    assert [child.tag for child in met] == ["system-out"]
    (failure,) = not_met
    assert (failure.tag, failure.get("message"), failure.get("type")) == (
        "failure",
        "2.0 is not < 1.0",
        "not met",
    )
    assert failure.text == "2.0 is not < 1.0\nwhy: we said so"
    (error,) = not_computed
    assert (error.tag, error.get("message")) == ("error", "c could not be computed")


def test_without_gates_it_is_still_a_suite():
    (suite,) = parsed([])
    assert suite.get("tests") == "0"


@pytest.mark.parametrize("odd", ODD)
def test_hostile_text_is_text(odd):
    results = [
        GateResult(odd, False, 1.0, odd, odd),
        GateResult(odd, False, None, odd),
        GateResult(odd, True, 1.0, odd),
    ]
    suites = parsed(results, model=odd)
    (suite,) = suites
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [[child.tag for child in case] for case in suite] == [["failure"], ["error"], ["system-out"]]
    assert {node.tag for node in suites.iter()} == {
        *("testsuites", "testsuite", "testcase", "failure", "error", "system-out")
    }
