import time

import pytest
import torch

from gc2l.bench.timing import alternate, compare


def test_turns_are_taken_and_the_median_counts():
    order = []

    def run(name, seconds):
        def sleep():
            order.append(name)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                pass

        return sleep

    ratios = alternate({"slow": run("slow", 0.02), "quick": run("quick", 0.004)}, "quick", turns=3)
    assert order == ["slow", "quick", "slow", "quick", "quick", "slow", "slow", "quick"]
    assert ratios["quick"].median == 1 and ratios["quick"].turns == 3
    assert 2 < ratios["slow"].median < 10


def test_ratios_are_those_of_each_turn():
    ratio = compare({"a": [2.0, 9.0, 30.0], "b": [1.0, 3.0, 10.0]}, "b")["a"]
    assert (ratio.low, ratio.median, ratio.high, ratio.seconds) == (2.5, 3.0, 3.0, 9.0)


@pytest.mark.parametrize(("base", "turns", "message"), [("c", 3, "base='c' must be one of 'a'"), ("a", 1, "turns=1")])
def test_bad_input(base, turns, message):
    with pytest.raises(ValueError, match=message):
        alternate({"a": torch.zeros}, base, turns)
