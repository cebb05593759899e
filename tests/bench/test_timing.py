import pytest
import torch

from gc2l.bench import timing
from gc2l.bench.timing import alternate, compare


def test_turns_are_taken_and_the_median_counts(monkeypatch):
    order, now = [], [0.0]
    monkeypatch.setattr(timing, "clock", lambda: now[0])

    def candidate(name, seconds):
        def run():
            order.append(name)
            now[0] += seconds * (1 if len(order) < 7 else 10)  # a disturbance that meets both of the last turn

        return run

    ratios = alternate({"slow": candidate("slow", 6.0), "quick": candidate("quick", 2.0)}, "quick", rounds=3)
    assert order == ["slow", "quick", "slow", "quick", "quick", "slow", "slow", "quick"]
    assert (ratios["quick"].median, ratios["slow"].median, ratios["slow"].high) == (1.0, 3.0, 3.0)
    assert (ratios["slow"].seconds, ratios["slow"].rounds) == (6.0, 3)


def test_ratios_are_those_of_each_turn():
    ratio = compare({"a": [2.0, 9.0, 30.0], "b": [1.0, 3.0, 10.0]}, "b")["a"]
    assert (ratio.low, ratio.median, ratio.high, ratio.seconds) == (2.5, 3.0, 3.0, 9.0)


@pytest.mark.parametrize(("base", "rounds", "message"), [("c", 3, "base='c' must be one of 'a'"), ("a", 1, "rounds=1")])
def test_bad_input(base, rounds, message):
    with pytest.raises(ValueError, match=message):
        alternate({"a": torch.zeros}, base, rounds)


@pytest.mark.parametrize(("threads", "gpu", "clock"), [(1, False, "process"), (2, False, "wall"), (1, True, "wall")])
def test_processor_time_is_that_of_one_thread_alone(monkeypatch, threads, gpu, clock):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(timing.time, "process_time", lambda: "process")
    monkeypatch.setattr(timing.time, "perf_counter", lambda: "wall")
    assert timing.clock() == clock
