"""Many epochs take no more memory than a few."""

import psutil
from small_run import cell, execution

from gc2l.training import ImageClassifier, train
from gc2l.training.allocator import release_freed_memory

MEBIBYTE = 2**20


def test_memory_stays_flat(trials, tmp_path, monkeypatch):
    epochs = 200 if trials.long else 12
    resident = []
    plain = ImageClassifier.on_train_epoch_end

    def watched(self):
        plain(self)
        release_freed_memory()
        resident.append(psutil.Process().memory_info().rss)

    monkeypatch.setattr(ImageClassifier, "on_train_epoch_end", watched)

    def trial(rng):
        resident.clear()
        train(cell(epochs=epochs), execution(tmp_path / str(rng.random())))
        settled = min(resident[4:8])
        assert resident[-1] - settled < 5 * MEBIBYTE, [value // MEBIBYTE for value in resident]

    trials.run(f"{epochs} epochs of digits: resident memory grows under 5 MiB", trial, short=1, long=1)
