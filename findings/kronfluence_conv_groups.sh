#!/usr/bin/env bash
# kronfluence 1.0.1 with torch 2.13.0 (Python 3.11): the influence scores of a network with a grouped Conv2d are wrong,
# also with strategy="identity", where a score is the plain inner product of two gradients. The gradient of each image
# is taken with the mean of the input over the groups, in place of each group's own channels. The README names
# nn.Conv2d as supported, without a limit on groups. Seen, largest difference from the inner products of autograd's
# gradients over the largest one:
#
#     groups  error
#          1  below 1e-6
#          2  0.20
#          4  0.17
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 numpy==2.4.6 accelerate==1.15.0 einops==0.8.2 opt_einsum==3.4.0 rich==15.0.0 safetensors==0.8.0 tqdm==4.70.1
pip --no-deps kronfluence==1.0.1 einconv==0.1.0 # torchvision, which is not used here, is left out
"$folder/venv/bin/python" -W ignore - "$folder" <<'PROGRAM'
import logging
import sys

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

logging.disable(logging.CRITICAL)


class Classification(Task):
    def compute_train_loss(self, batch, model, sample=False):
        return F.cross_entropy(model(batch[0]), batch[1], reduction="sum")

    def compute_measurement(self, batch, model):
        return self.compute_train_loss(batch, model)


def gradient(network, x, y):
    loss = F.cross_entropy(network(x[None]), y[None])
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, tuple(network.parameters()))])


print("groups  error")
for groups in (1, 2, 4):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=groups), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x, y = torch.randn(6, 4, 5, 5), torch.tensor([0, 1, 2, 3, 0, 1])
    gradients = torch.stack([gradient(network, *pair) for pair in zip(x, y, strict=True)])
    expected = gradients[:2] @ gradients[2:].T
    task = Classification()
    analyzer = Analyzer(
        f"groups{groups}", prepare_model(network, task), task, cpu=True, disable_tqdm=True, output_dir=sys.argv[1]
    )
    asked, trained = TensorDataset(x[:2], y[:2]), TensorDataset(x[2:], y[2:])
    identity = FactorArguments(strategy="identity")
    analyzer.fit_all_factors("factors", dataset=trained, per_device_batch_size=4, factor_args=identity)
    analyzer.compute_pairwise_scores(
        "scores",
        factors_name="factors",
        query_dataset=asked,
        train_dataset=trained,
        per_device_query_batch_size=2,
        per_device_train_batch_size=4,
        score_args=ScoreArguments(damping_factor=0.0),
    )
    found = analyzer.load_pairwise_scores("scores")["all_modules"]
    error = ((found - expected).abs().max() / expected.abs().max()).item()
    print(f"{groups:6}  {error:.1e}")
    assert error < 1e-6 if groups == 1 else error > 0.05
PROGRAM
