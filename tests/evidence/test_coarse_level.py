"""What is measured of the coarse level, where it can be written down."""

import pytest
import torch
from matplotlib.text import Text
from small_run import cell
from torch import nn

from gc2l.analysis.coarse_level import coarse_level_tables
from gc2l.analysis.figures.coarse_level import coarse_level
from gc2l.data import dataset_info
from gc2l.evidence import coarse_level as measured
from gc2l.evidence.coarse_level import coarse_layers, effective_rank, measure_coarse_level, measure_layers
from gc2l.evidence.released import count_test_errors
from gc2l.models import build_model
from gc2l.nn import GroupConv2d, ShuffleTwoLevelGroupConv2d, TwoLevelGroupConv2d
from gc2l.records import CoarseLevelRecord, read_coarse_level, save_measurement

RANDOM = torch.Generator().manual_seed(0)


def layer(weight, restriction, coarse):
    made = TwoLevelGroupConv2d(len(coarse), len(coarse), 1, groups=coarse.shape[1], bias=False)
    parts = {"weight": weight, "restriction_weight": restriction, "coarse_weight": coarse}
    made.load_state_dict({name: part.reshape(getattr(made, name).shape) for name, part in parts.items()})
    return nn.Sequential(made).eval().requires_grad_(False)


def test_effective_rank_in_closed_form():
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.ones(4, 3)) == pytest.approx(1)
    # Singular values 3 and 1: entropy of (3/4, 1/4).
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(4 / 3**0.75)


def test_share_in_closed_form():
    # y = x + (x_1 + x_2) in both channels: for x = (1, 2) the coarse part is (3, 3), the output (4, 5).
    network = layer(torch.ones(2), torch.ones(2), torch.ones(2, 2))
    x = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    shares, _ = measure_layers(network, [x, 3 * x])
    assert shares["0"] == pytest.approx(18 / 41)
    alone = layer(torch.zeros(2), torch.ones(2), torch.ones(2, 2))
    assert measure_layers(alone, [x])[0]["0"] == pytest.approx(1)
    none = layer(torch.ones(2), torch.ones(2), torch.zeros(2, 2))
    assert measure_layers(none, [x])[0]["0"] == 0


def test_means_take_the_place_of_means_exactly_and_fit_others_best():
    x = torch.randn(3, 4, 5, 5, generator=RANDOM)
    restriction = torch.tensor([[3.0, 3.0], [-1.0, -1.0]])
    network = layer(torch.ones(4, 2), restriction, torch.ones(4, 2))
    _, means = measure_layers(network, x.split(2))
    assert torch.allclose(means["0"].flatten(1), restriction)
    uneven = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
    network[0].restriction_weight.data.copy_(uneven.view(2, 2, 1, 1))
    _, means = measure_layers(network, x.split(2))
    pixels = x.view(3, 2, 2, 25).permute(1, 2, 0, 3).flatten(2).double()  # (n, c, pixels)
    z, mean = torch.einsum("ncp,nc->np", pixels, uneven.double()), pixels.mean(1)
    factors = [torch.linalg.lstsq(mean[i, :, None], z[i, :, None]).solution.item() for i in range(2)]
    assert means["0"][:, 0].flatten().tolist() == pytest.approx([factor / 2 for factor in factors], rel=1e-5)


@pytest.mark.parametrize("kernel_size", [(3, 3), (2, 4)])
def test_bias_padding_and_larger_kernels(kernel_size):
    generator = torch.Generator().manual_seed(1)
    made = TwoLevelGroupConv2d(4, 6, kernel_size, 2, 1, groups=2, coarse_channels=2, padding_mode="reflect").eval()
    network = nn.Sequential(made).requires_grad_(False)
    x = torch.randn(2, 4, 7, 8, generator=generator)
    shares, _ = measure_layers(network, [x])
    fine = GroupConv2d(4, 6, kernel_size, 2, 1, groups=2, padding_mode="reflect").eval().requires_grad_(False)
    fine.load_state_dict({"weight": made.weight, "bias": made.bias})
    whole, coarse = made(x) - made.bias[:, None, None], made(x) - fine(x)
    assert shares["0"] == pytest.approx(float(coarse.square().sum() / whole.square().sum()), rel=1e-4)


@pytest.mark.parametrize("kind", [TwoLevelGroupConv2d, ShuffleTwoLevelGroupConv2d])
def test_share_of_a_shuffled_layer_and_of_one_whose_padding_was_changed(kind):
    made = kind(8, 8, 3, padding=1, groups=4, padding_mode="reflect").eval().requires_grad_(False)
    made.padding = (2, 2)
    made.bias.copy_(torch.arange(8) * 10.0)
    x = torch.randn(2, 8, 7, 7, generator=torch.Generator().manual_seed(2))
    shares, _ = measure_layers(nn.Sequential(made), [x])
    made.bias.zero_()
    whole = made(x)
    made.weight.zero_()
    assert shares["0"] == pytest.approx(float(made(x).square().sum() / whole.square().sum()), rel=1e-4)


def test_a_network_is_measured_recorded_and_drawn(tmp_path):
    run = cell(variant="gc2l", groups=4)
    torch.manual_seed(0)
    network = build_model(run.model, dataset_info(run.data.name).num_classes).eval().requires_grad_(False)
    layers = coarse_layers(network)
    for part in layers.values():  # r that are means already
        filters = torch.zeros_like(part.restriction_weight)
        filters[:, :, filters.shape[2] // 2, filters.shape[3] // 2] = 1
        part.restriction_weight.copy_(filters)
    found = measure_coarse_level(network, run)
    assert [one.name for one in found.layers] == list(layers)
    # Rounding moves hardly one image from one class to another.
    assert max(abs(found.errors - errors) for errors in (found.mean_errors, found.layers[0].mean_errors)) <= 1
    for part in layers.values():
        part.coarse_weight.zero_()
    assert found.removed_errors == count_test_errors(network, run)[0]
    record = CoarseLevelRecord(commit="c", dirty=False, versions={}, networks=(found,))
    save_measurement(record, tmp_path / "coarse_level.json")
    assert read_coarse_level(tmp_path / "coarse_level.json") == record
    assert read_coarse_level(tmp_path / "other.json") is None
    errors, mean = (f"{100 * count / found.images:.2f} %" for count in (found.errors, found.mean_errors))
    assert f"{run.slug}: test error {errors}, all r means {mean}" in coarse_level_tables(record)
    drawn = " ".join(text.get_text() for text in coarse_level(record).findobj(Text))
    assert run.slug in drawn and all(name.removeprefix("stages.") in drawn for name in layers)
    assert "not measured" in " ".join(text.get_text() for text in coarse_level(None).findobj(Text))


def test_each_layer_is_changed_alone(monkeypatch):
    network = nn.Sequential(*(TwoLevelGroupConv2d(8, 8, 1, groups=4, coarse_channels=2) for _ in range(3))).eval()
    network.requires_grad_(False)
    before = {name: part.restriction_weight.clone() for name, part in coarse_layers(network).items()}

    def count(changed, _):
        """For each layer another number, summed over those with another r; 1000 for each C that is zero."""
        layers = coarse_layers(changed)
        others = [name for name, part in layers.items() if not torch.equal(part.restriction_weight, before[name])]
        removed = [name for name, part in layers.items() if not part.coarse_weight.any()]
        return sum(10 ** int(name) for name in others) + 1000 * len(removed), 5

    monkeypatch.setattr(measured, "count_test_errors", count)
    monkeypatch.setattr(measured, "labelled_batches", lambda _: [(torch.randn(2, 8, 3, 3, generator=RANDOM), None)])
    found = measure_coarse_level(network, cell(variant="gc2l", groups=4))
    assert (found.errors, found.mean_errors, found.removed_errors) == (0, 111, 3000)
    assert [one.mean_errors for one in found.layers] == [1, 10, 100]
    assert [one.coarse_channels for one in found.layers] == [8, 8, 8]  # 2 for each of the 4 groups


def test_networks_without_a_coarse_level_are_named():
    with pytest.raises(ValueError, match="no GC-2L layer"):
        coarse_layers(nn.Sequential(TwoLevelGroupConv2d(2, 2, 1, groups=1)))
