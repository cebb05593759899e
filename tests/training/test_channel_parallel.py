"""What several ranks can train together."""

from types import SimpleNamespace

import pytest
from small_run import cell, execution

from gc2l.training import channel_parallel
from gc2l.training.channel_parallel import prepare_ranks


@pytest.mark.parametrize(
    ("batch_size", "last"),
    [
        (64, 29),  # digits has 1437 = 22 x 64 + 29 images to train on
        (4, 4),  # 359 x 4 + 1: a batch of one image is left out
        (1437, 1437),
        (1, 1),
    ],
)
def test_the_ranks_divide_the_smallest_batch_that_is_trained(batch_size, last, tmp_path, monkeypatch):
    monkeypatch.setattr(channel_parallel, "check_same_on_all_ranks", lambda *_: None)

    def prepare(data_ranks: int) -> None:
        job = SimpleNamespace(data_ranks=data_ranks, overlap=True)
        prepare_ranks(cell(batch_size=batch_size), execution(tmp_path), job)

    prepare(last)
    with pytest.raises(ValueError, match=f"{last + 1} ranks cannot divide the epoch's last batch of {last} images"):
        prepare(last + 1)
