"""A cell: the full scientific configuration of one training run, and the hash that is the run's identity."""

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from gc2l.names import check_choice
from gc2l.variants import (
    VARIANTS,
    Assignment,
    CoarseLevel,
    CoarseStart,
    Restriction,
    Start,
    check_restriction,
    check_variant,
)

Network = Literal["wide_resnet_cifar", "wide_resnet_imagenet", "mobilenet_v2"]
DatasetName = Literal["digits", "cifar10", "cifar100", "imagenette", "imagenet"]
Schedule = Literal["step", "one_cycle"]
Undecayed = Literal["nothing", "coarse_level", "assignment"]

LARGEST_SEED = 2**62
"""PyTorch's generators take 64 bits with sign, and the epoch is added."""

_OPTIONS = {
    "coarse_channels": 1,
    "overlap": 0.0,
    "coarse_start": "fan_out",
    "restriction": "learned",
    "assignment": "learned",
    "start": "random",
}
"""The options of the variants, see `gc2l.variants.Variant`, with their default values."""

_LATER_FIELDS = {
    "model": {name: usual for name, usual in _OPTIONS.items() if name != "coarse_channels"} | {"coarse_level": "all"},
    "training": {"undecayed": "nothing", "assignment_rate": 1.0},
}
"""Fields added after the first records: a configuration omits them at these defaults, so old identities stay valid."""

_REAL_TRAINING_FIELDS = ("learning_rate", "momentum", "weight_decay", "gamma", "warmup_fraction", "assignment_rate")


def _default_root() -> Path:
    return Path(os.environ.get("GC2L_DATA", "data"))


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and which convolution takes the place of the standard one.

    Attributes:
        network: the family.
        depth: number of layers of a wide residual network; None for MobileNetV2, which has one depth.
        width: widen factor k of a wide residual network, width multiplier of MobileNetV2.
        variant: the convolution, a key of `gc2l.variants.VARIANTS`.
        groups: number of groups n.
        coarse_channels: representative channels per group of GC-2L (the paper has 1).
        overlap: of the blocks of GC-2L (the paper has 0), or of the windows of sliding-channel convolution.
        coarse_start: the weights with which the coarse level of GC-2L starts, see `gc2l.nn.TwoLevelGroupConv2d`.
        restriction: of GC-2L, learned or the mean of a group's channels, see `gc2l.nn.TwoLevelGroupConv2d`.
        coarse_level: the layers of a wide residual network with GC-2L that have a coarse level, by their kernel size;
            the other layers have none.
        assignment: whether FLGC learns which channels form a group.
        start: the groups with which FLGC starts, see `gc2l.nn.LearnableGroupConv2d`.
    """

    network: Network = "wide_resnet_cifar"
    depth: int | None = 28
    width: float = 10
    variant: str = "sc"
    groups: int = 1
    coarse_channels: int = 1
    overlap: float = 0.0
    coarse_start: CoarseStart = "fan_out"
    restriction: Restriction = "learned"
    coarse_level: CoarseLevel = "all"
    assignment: Assignment = "learned"
    start: Start = "random"

    def __post_init__(self) -> None:
        """Check every value that can be checked without building the network."""
        check_choice("model.network", self.network, get_args(Network))
        _check_integers("model", groups=self.groups, coarse_channels=self.coarse_channels)
        _check_finite("model", width=self.width, overlap=self.overlap)
        check_choice("model.coarse_start", self.coarse_start, get_args(CoarseStart))
        check_restriction(self.restriction, self.coarse_channels)
        check_choice("model.coarse_level", self.coarse_level, get_args(CoarseLevel))
        check_choice("model.assignment", self.assignment, get_args(Assignment))
        check_choice("model.start", self.start, get_args(Start))
        if self.depth is not None:
            _check_integers("model", depth=self.depth)
        check_variant(self.variant, self.groups)
        if (self.depth is None) != (self.network == "mobilenet_v2"):
            raise ValueError(
                f"model.depth={self.depth} with model.network={self.network!r}: wide residual networks need a "
                "depth, MobileNetV2 has only one and takes none"
            )
        if self.width <= 0:
            raise ValueError(f"model.width={self.width} must be positive")
        if self.coarse_channels < 1:
            raise ValueError(f"model.coarse_channels={self.coarse_channels} must be at least 1")
        if not 0 <= self.overlap < 1:
            raise ValueError(f"model.overlap={self.overlap} must be at least 0 and less than 1")
        for name, usual in _OPTIONS.items():
            if getattr(self, name) != usual and name not in VARIANTS[self.variant].options:
                having = ", ".join(repr(key) for key, variant in VARIANTS.items() if name in variant.options)
                raise ValueError(
                    f"model.{name}={getattr(self, name)!r} with model.variant={self.variant!r}: only {having} has it, "
                    f"for others it is {usual!r}"
                )
        if self.coarse_level != "all" and (self.depth is None or VARIANTS[self.variant].without_coarse_level is None):
            raise ValueError(
                f"model.coarse_level={self.coarse_level!r} with model.network={self.network!r} and "
                f"model.variant={self.variant!r}: only wide residual networks with GC-2L have layers of both kernel "
                "sizes with a coarse level, for others it is 'all'"
            )

    def options(self) -> dict[str, Any]:
        """The options of the variant that differ from their defaults, as keyword arguments of the layer."""
        return {name: getattr(self, name) for name, usual in _OPTIONS.items() if getattr(self, name) != usual}


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images.

    Attributes:
        name: the data set.
        image_size: side of the images that the network sees, in pixels; None keeps the data set's own.
        root: folder that holds the data sets; the default is $GC2L_DATA, else `data`. It does not affect
            the result, so it is not part of the identity.
    """

    name: DatasetName = "cifar10"
    image_size: int | None = None
    root: Path = field(default_factory=_default_root)

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice("data.name", self.name, get_args(DatasetName))
        if self.image_size is not None:
            _check_integers("data", image_size=self.image_size)
            if self.image_size < 1:
                raise ValueError(f"data.image_size={self.image_size} must be at least 1 pixel")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the network is trained: SGD with momentum, as in the paper.

    Attributes:
        epochs: passes over the training set.
        batch_size: images per step.
        learning_rate: initial rate of the step schedule, peak rate of one-cycle.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter but the undecayed.
        schedule: "step" multiplies the rate by `gamma` at each milestone; "one_cycle" raises it over
            `warmup_fraction` of all steps and lowers it to almost zero by the last.
        milestones: epochs after which the step schedule lowers the rate.
        gamma: factor of the step schedule.
        warmup_fraction: share of the steps in which one-cycle raises the rate.
        undecayed: parameters without weight decay: "coarse_level" is r and C of GC-2L, "assignment" S and T of FLGC.
        assignment_rate: rate of FLGC's S and T as a multiple of that of all other parameters.
    """

    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "step"
    milestones: tuple[int, ...] = (60, 120, 160)
    gamma: float = 0.1
    warmup_fraction: float = 0.25
    undecayed: Undecayed = "nothing"
    assignment_rate: float = 1.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_choice("training.schedule", self.schedule, get_args(Schedule))
        check_choice("training.undecayed", self.undecayed, get_args(Undecayed))
        _check_integers("training", epochs=self.epochs, batch_size=self.batch_size)
        for milestone in self.milestones:
            _check_integers("training", milestones=milestone)
        if any(low >= high for low, high in pairwise((0, *self.milestones))):
            raise ValueError(f"training.milestones={self.milestones} must be positive and ascend")
        for name in _REAL_TRAINING_FIELDS:
            _check_finite("training", **{name: getattr(self, name)})
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"training.{name}={getattr(self, name)} must be at least 1")
        for name in ("learning_rate", "gamma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"training.{name}={getattr(self, name)} must be positive")
        for name in ("momentum", "weight_decay", "assignment_rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"training.{name}={getattr(self, name)} must not be negative")
        if not self.momentum < 1:
            raise ValueError(f"training.momentum={self.momentum} must be less than 1")
        if not 0 < self.warmup_fraction < 1:
            raise ValueError(f"training.warmup_fraction={self.warmup_fraction} must lie between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training run.

    Attributes:
        preset: name of the preset that the run belongs to, the folder of its record; no part of its identity.
        model: the network.
        data: the images.
        training: the optimisation.
        seed: seeds the initial weights, the order of the images and their augmentation.
    """

    preset: str = "custom"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 1

    def __post_init__(self) -> None:
        """Check the values, and that the network has what the training treats apart."""
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed={self.seed!r} must be a whole number from 0 to {LARGEST_SEED}")
        variant, training = self.model.variant, self.training
        if training.undecayed == "coarse_level" and VARIANTS[variant].without_coarse_level is None:
            raise ValueError(
                f"training.undecayed='coarse_level' with model.variant={variant!r}: it has no coarse level"
            )
        if (training.undecayed == "assignment" or training.assignment_rate != 1) and variant != "flgc":
            raise ValueError(
                f"training.undecayed={training.undecayed!r}, training.assignment_rate={training.assignment_rate} with "
                f"model.variant={variant!r}: only 'flgc' has an assignment"
            )

    def configuration(self) -> dict[str, Any]:
        """Everything that determines the result, as JSON values, without paths and the name of the preset."""
        configuration = asdict(self)
        del configuration["preset"], configuration["data"]["root"]
        configuration["training"]["milestones"] = list(self.training.milestones)
        # 10 and 10.0 are one width, 0 and 0.0 one weight decay, and JSON would write them differently.
        configuration["model"]["width"] = float(self.model.width)
        configuration["model"]["overlap"] = float(self.model.overlap)
        for name in _REAL_TRAINING_FIELDS:
            configuration["training"][name] = float(configuration["training"][name])
        for section, fields in _LATER_FIELDS.items():
            for name, usual in fields.items():
                if configuration[section][name] == usual:
                    del configuration[section][name]
        return configuration

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the configuration in canonical JSON."""
        return configuration_hash(self.configuration())

    @property
    def slug(self) -> str:
        """A name for people and files, such as "cifar10-wide_resnet_cifar-10x4-gc2l-n4-seed1"."""
        model = self.model
        size = f"{model.width:g}" if model.depth is None else f"{model.depth}x{model.width:g}"
        coarse = () if model.coarse_level == "all" else (f"coarse{model.coarse_level}",)
        variant = "-".join([model.variant, *map(_short, model.options().items()), *coarse])
        return f"{self.data.name}-{model.network}-{size}-{variant}-n{model.groups}-seed{self.seed}"


def _short(option: tuple[str, Any]) -> str:
    name, value = option
    return {"coarse_channels": f"m{value}", "overlap": f"overlap{value}"}.get(name, str(value))


def configuration_hash(configuration: dict[str, Any]) -> str:
    """The identity that belongs to a configuration as `Cell.configuration` gives it."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


# Presets come from files, where a number may be quoted or have a decimal point too many.
def _check_integers(section: str, **values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{section}.{name}={value!r} must be a whole number")


def _check_finite(section: str, **values: object) -> None:
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"{section}.{name}={value!r} must be a finite number")
