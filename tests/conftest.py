"""What the test report tells besides: the counts that tests record as properties."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the recorded properties of the tests that passed."""
    counts = [pair for report in terminalreporter.getreports("passed") for pair in report.user_properties]
    if counts:
        terminalreporter.section("counts")
    for name, value in counts:
        terminalreporter.line(f"{name}: {value}")
