"""Which examples are alike."""

import numpy as np

from speu_cli.unlearning.strata import strata_of


def test_kinds_are_strata_as_they_are() -> None:
    known, other = np.array([7, 3, 7]), np.array([3, 9])
    found = strata_of(known, [other])
    assert [one.tolist() for one in found] == [[7, 3, 7], [3, 9]]


def test_numbers_are_cut_at_the_fifths_of_the_training_examples() -> None:
    known = np.arange(100, dtype=np.float32)
    of_known, of_other = strata_of(known, [np.array([-5.0, 30.0, 1000.0], dtype=np.float32)])
    assert np.bincount(of_known).tolist() == [20] * 5
    assert of_other.tolist() == [0, 1, 4]


def test_of_few_values_each_is_a_stratum() -> None:
    stars = np.array([1, 1, 1, 1, 1, 1, 2, 4], dtype=np.float32)
    of_known, of_other = strata_of(stars, [np.array([1.0, 2.0, 4.0], dtype=np.float32)])
    assert of_known.tolist() == [0] * 6 + [1, 2]
    assert of_other.tolist() == [0, 1, 2]


def test_of_no_training_examples_all_are_alike_to_none() -> None:
    of_known, of_other = strata_of(np.zeros(0, dtype=np.float32), [np.ones(2, dtype=np.float32)])
    assert len(of_known) == 0
    assert of_other.tolist() == [1, 1]
