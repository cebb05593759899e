"""The layer that stands in a compiled network in place of a grouped convolution."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gc2l.edge import kernel
from gc2l.edge.grouped import TENSORS, GroupedConvolution
from gc2l.nn.convolution import SETTINGS
from gc2l.ops.geometry import Geometry

Engine = Literal["c", "tvm"]


def choose_engine(engine: str | None = None) -> Engine:
    """What computes compiled layers: the one asked for, or the C library where it can be used, else TVM.

    Raises:
        ValueError: an unknown engine.
        ImportError: it is not installed, or for None neither is; for the C library also a processor without AVX-512.
    """
    has = {"c": kernel.library() is not None, "tvm": find_spec("tvm") is not None}
    if engine not in (None, *has):
        raise ValueError(f"engine={engine!r} must be 'c' or 'tvm'")
    for name in ("c", "tvm") if engine is None else (engine,):
        if has[name]:
            return "c" if name == "c" else "tvm"
    if engine == "c":
        raise ImportError(
            "engine='c' needs the library that is compiled when gc2l is installed, and a processor with AVX-512; "
            "Apache TVM does without: pip install 'gc2l[edge]'"
        )
    raise ImportError(
        "compiling for inference needs Apache TVM here: pip install 'gc2l[edge]'. Without it the network runs as it is"
    )


class InferenceConv2d(nn.Module):
    """A grouped convolution with weights that are packed once; see `GroupedConvolution`. It has no gradients.

    Weights are packed in the first call, and again after `load_state_dict` and `to`; other changes have no effect.

    Args:
        convolution: what it computes.
        engine: "c" or "tvm". With one group the framework's convolution is used.
        layer: the one in whose place it stands; it keeps the `gc2l.nn.convolution.SETTINGS` of that.

    Shape:
        input (N, c_in, H, W) or (c_in, H, W), float32 on the CPU, output (N, c_out, H', W') or (c_out, H', W').
    """

    def __init__(self, convolution: GroupedConvolution, engine: Engine, layer: nn.Module) -> None:
        super().__init__()
        self.engine = engine
        self._settings = convolution
        for name in TENSORS:
            self.register_buffer(name, getattr(convolution, name))
        for name in SETTINGS:
            setattr(self, name, getattr(layer, name))
        self._kernel: Callable[[Tensor], Tensor] | None = None

    @property
    def convolution(self) -> GroupedConvolution:
        """What it computes, with its present tensors."""
        settings = self._settings
        return GroupedConvolution(
            **{name: getattr(self, name) for name in TENSORS},
            geometry=settings.geometry,
            padding=settings.padding,
            padding_mode=settings.padding_mode,
            relu=settings.relu,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layer to the input.

        Raises:
            TypeError: it is not float32 on the CPU.
            ValueError: another number of channels or dimensions, fewer pixels than the kernel, or an input with
                gradients.
        """
        x = input
        if x.dtype != torch.float32 or not x.is_cpu:
            raise TypeError(f"x is {x.dtype} on {x.device}; the network is compiled for float32 on the CPU")
        shape = x.shape
        if len(shape) not in (3, 4) or shape[-3] != self.in_channels:
            raise ValueError(f"x has the shape {tuple(shape)}; it must be (N, {self.in_channels}, H, W) or without N")
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError("x requires gradients, which a compiled network has not: call it under torch.no_grad()")
        if 0 in shape:
            return self.convolution.formula(x)
        if self._kernel is None:
            self._kernel = _kernel_of(self.convolution, self.engine)
        return self._kernel(x) if len(shape) == 4 else self._kernel(x[None])[0]

    def settings(self) -> dict[str, Any]:
        """What a file has to say of the layer beside its tensors."""
        of = self._settings
        return {
            "stride": of.geometry.stride,
            "zeros": of.geometry.padding,
            "dilation": of.geometry.dilation,
            "groups": of.geometry.groups,
            "padding": of.padding,
            "padding_mode": of.padding_mode,
            "relu": of.relu,
        }

    @classmethod
    def from_settings(
        cls, settings: dict[str, Any], tensors: dict[str, Any], engine: Engine, layer: nn.Module
    ) -> "InferenceConv2d":
        """The layer that `settings` and its tensors describe, in the place of `layer`."""
        stride, zeros, dilation = (tuple(settings[name]) for name in ("stride", "zeros", "dilation"))
        convolution = GroupedConvolution(
            **tensors,
            geometry=Geometry(stride, zeros, dilation, settings["groups"]),
            padding=tuple(settings["padding"]),
            padding_mode=settings["padding_mode"],
            relu=settings["relu"],
        )
        return cls(convolution, engine, layer)

    def extra_repr(self) -> str:
        """Channels, kernel, groups."""
        of = self._settings
        coarse = "" if of.restriction is None else f", coarse={len(of.restriction)}"
        relu = ", relu" if of.relu else ""
        return f"{of.c_in}, {of.c_out}, kernel_size={of.kernel}, {of.geometry}{coarse}{relu}, engine={self.engine}"

    def _apply(self, fn: Any, recurse: bool = True) -> "InferenceConv2d":
        self._kernel = None  # it holds packed copies
        return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        self._kernel = None
        super()._load_from_state_dict(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kernel": None}


def _kernel_of(convolution: GroupedConvolution, engine: Engine) -> Callable[[Tensor], Tensor]:
    if convolution.geometry.groups == 1 and convolution.restriction is None:
        return convolution.formula
    if engine == "c":
        return kernel.CompiledKernel(convolution)
    # Here, so that nothing else needs TVM.
    from gc2l.edge.tvm_kernel import TvmKernel  # noqa: PLC0415

    return TvmKernel(convolution)
