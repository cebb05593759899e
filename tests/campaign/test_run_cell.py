"""Two processes that train one cell for different folders of records, with one scratch folder."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from records import samples
from small_run import cell, execution

from gc2l.campaign import fine_tuning
from gc2l.campaign.run import run_cell
from gc2l.records import RunStore
from gc2l.training.checkpoints import checkpoint_folder

RUN = cell(epochs=1)


class Training:
    """In place of training: leaves a checkpoint, and ends only when told to."""

    def __init__(self):
        self.may_end, self.began, self.found = threading.Event(), threading.Event(), []

    def __call__(self, run, how):
        folder = checkpoint_folder(run, how, sharded=False)
        self.found.append(folder.exists())
        folder.mkdir(parents=True, exist_ok=True)
        self.began.set()
        assert self.may_end.wait(20)
        return samples.record(run)


def test_the_second_waits_and_trains_its_own(tmp_path, capsys):
    training, how = Training(), execution(tmp_path / "scratch")
    stores = [RunStore(tmp_path / name) for name in ("A", "B")]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run_cell, RUN, stores[0], how, train=training)
        assert training.began.wait(20)
        second = threads.submit(run_cell, RUN, stores[1], how, train=training)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        assert len(training.found) == 1
        training.may_end.set()
        first.result(20), second.result(20)
    assert training.found == [False, False], "the second began with a checkpoint of the first"
    assert all(store.find(RUN) for store in stores)
    assert f"{RUN.slug} is being trained by process" in capsys.readouterr().err


def test_a_network_to_convert_waits_for_the_run_that_trains_it(tmp_path, monkeypatch):
    training, how = Training(), execution(tmp_path / "scratch")
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(run_cell, RUN, RunStore(tmp_path / "A"), how, train=training)
        assert training.began.wait(20)
        monkeypatch.setattr(fine_tuning, "train", training)
        second = threads.submit(fine_tuning.trained_network, RUN, RunStore(tmp_path / "B"), how)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        training.may_end.set()
        first.result(20)
        with pytest.raises(FileNotFoundError):  # this training leaves no weights
            second.result(20)
    assert training.found == [False, False]
