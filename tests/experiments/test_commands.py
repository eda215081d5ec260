"""Commands of experiments: several at a time."""

import threading

from commands import at_once


def test_answers_come_in_the_order_of_the_things_though_all_run_at_once() -> None:
    together = threading.Barrier(3, timeout=60)

    def answer(thing: int) -> int:
        together.wait()  # breaks where fewer than three run
        return thing * 10

    assert at_once(3, answer, [3, 1, 2]) == [30, 10, 20]
