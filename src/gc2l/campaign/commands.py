"""`python -m gc2l`: export networks and list the released ones."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import torch
import tyro
from safetensors.torch import load_file
from torch import nn

from gc2l.evidence import list_released, load_released
from gc2l.evidence.by_name import suggestion
from gc2l.models import convert, plan_conversion
from gc2l.models.export import Form, export_onnx
from gc2l.models.torchvision_import import torchvision

IMAGE_SIZE = 224
"""Side of the images of torchvision's classifiers, in pixels, unless another is asked for."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a network to an ONNX file, batch norms folded, and compare its outputs in onnxruntime.

    Attributes:
        path: the file, ending in .onnx.
        network: a released one (see "released"), or one of torchvision's classifiers, with fresh weights.
        variant: the convolution that takes the place of the standard one in torchvision's network.
        groups: n.
        form: "structured" keeps the groups, "dense" writes the standard convolution that each layer equals.
        weights: state of the converted network, .safetensors or of torch.save.
        classes: length of the logits of torchvision's network.
        image_size: side of the images in pixels; by default 224, for a released network what it was trained on.
    """

    path: tyro.conf.Positional[Path]
    network: str
    variant: str | None = None
    groups: int | None = None
    form: Form = "structured"
    weights: Path | None = None
    classes: int = 1000
    image_size: int | None = None

    def __call__(self) -> int:
        """Build, write, compare, print the difference."""
        torch.manual_seed(0)
        network, image_size = self._build()
        difference = export_onnx(network.eval(), self.path, self.image_size or image_size, self.form)
        size = self.path.stat().st_size / 1e6
        print(f"{self.path}: {size:.1f} MB, {self.form}; largest difference in onnxruntime {difference:.1e}")
        return 0

    def _build(self) -> tuple[nn.Module, int]:
        classifiers = torchvision.models.list_models(module=torchvision.models)
        if self.network in classifiers:
            return self._torchvision(), IMAGE_SIZE
        released = {found.name: found for found in list_released()}
        if self.network not in released:
            near = get_close_matches(self.network, [*released, *classifiers], n=4, cutoff=0.5)
            raise ValueError(
                f"network={self.network!r} is neither released nor one of torchvision's classifiers; "
                f"{suggestion(near or list(released))}"
            )
        given = {"variant": self.variant, "groups": self.groups, "weights": self.weights}
        if wrong := [f"--{name} {value}" for name, value in given.items() if value is not None]:
            raise ValueError(f"network={self.network!r} is released with its weights: leave out {' '.join(wrong)}")
        return load_released(self.network), released[self.network].image_size

    def _torchvision(self) -> nn.Module:
        network = torchvision.models.get_model(self.network, weights=None, num_classes=self.classes)
        if (self.variant is None) != (self.groups is None):
            raise ValueError(f"variant={self.variant!r} with groups={self.groups}: give both, or neither")
        if self.variant is not None and self.groups is not None:
            plan = plan_conversion(network, self.variant, self.groups)
            replaced = sum(decision.replaced for decision in plan)
            print(f"{replaced} of {len(plan)} convolutions are {self.variant} with {self.groups} groups")
            network = convert(network, self.variant, self.groups)
        if self.weights is None:
            print("the weights are fresh ones: --weights takes those of a trained network")
        else:
            _load(network, self.weights)
        return network


@dataclass(frozen=True, kw_only=True)
class ListReleased:
    """List the released networks, each with its test error and interval in percent."""

    def __call__(self) -> int:
        """Print one line for each."""
        for released in list_released():
            print(released)
        return 0


def main() -> int:
    """Read the command line and do what it says."""
    command = tyro.cli(
        Annotated[Export, tyro.conf.subcommand("export")] | Annotated[ListReleased, tyro.conf.subcommand("released")],
        prog="python -m gc2l",
        description=__doc__,
    )
    return command()


def _load(network: nn.Module, path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"weights={path} is missing")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except Exception as error:  # safetensors, damaged archives, other objects and wrong shapes each have their own
        raise ValueError(f"weights={path} does not hold the state of this network: {error}") from error
