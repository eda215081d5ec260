import math

import pytest

from speu_cli import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        (math.nan, "not computed"),
        ([1, "b"], "1, b"),
        ("a [b]", "a [b]"),
    ],
)
def test_values(value, text):
    assert wording.as_text(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (4200, "4.2 kB"), (5.3e8, "530 MB"), (2e12, "2,000.0 GB")],
)
def test_sizes(count, text):
    assert wording.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.0423, "0.042 s"), (12.345, "12.3 s"), (3600, "3,600.0 s")])
def test_durations(seconds, text):
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (119, "119.0 s"),
        (150, "2.5 minutes"),
        (1500, "25 minutes"),
        (12_240, "3.4 hours"),
        (1.3e8, "1,505 days"),
    ],
)
def test_long_durations(seconds, text):
    assert wording.long_duration(seconds) == text


def test_parts():
    assert wording.part_of(14, 144) == "14 of 144 (9.72 %)"
    assert wording.part_of(0, 0) == "0 of 0 (0 %)"


@pytest.mark.parametrize(
    ("noun", "verb"), [("weights", "are"), ("model weights", "are"), ("architecture", "is"), ("loss", "is")]
)
def test_the_verb_follows_the_noun(noun, verb):
    assert wording.is_or_are(noun) == verb
