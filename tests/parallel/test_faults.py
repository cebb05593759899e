"""A rank that dies or hangs: the others name it, and the layer, within seconds."""

import os
import pickle
import time
from pathlib import Path

import pytest
import torch.distributed as dist
from parallel.networks import Case, backward, batch
from parallel.ranks import run_on_ranks

from gc2l.parallel import RankError, make_mesh, parallelize

LIMIT_SECONDS = 10


def _fail(manner: str, folder: Path) -> None:
    network = parallelize(Case("gc2l", 4).build(), make_mesh(2))
    backward(network, *batch(0))
    if dist.get_rank() == 1:
        if manner == "dies":
            os._exit(0)
        while not (folder / "message").exists():  # hangs until the other has given up
            time.sleep(0.1)
        os._exit(0)
    begun = time.monotonic()
    try:
        backward(network, *batch(1))
    except RankError as error:
        partial = folder / "partial"
        partial.write_bytes(pickle.dumps((str(error), time.monotonic() - begun)))
        partial.rename(folder / "message")
    os._exit(0)


@pytest.mark.parametrize("manner", ["dies", "hangs"])
def test_a_lost_rank_is_named(manner, tmp_path):
    with pytest.raises(FileNotFoundError):  # neither rank lives to give a result
        run_on_ranks(_fail, 2, manner, tmp_path, timeout_seconds=LIMIT_SECONDS)
    message, seconds = pickle.loads((tmp_path / "message").read_bytes())
    assert message.startswith("rank 0 of 2: the all_gather of layer 'stages.0.0.")
    assert "no word from rank 1" in message
    assert seconds < LIMIT_SECONDS + 10
