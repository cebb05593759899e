"""A compiled network in one safetensors file: every tensor, and the settings of its compiled layers as metadata."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gc2l.edge.compile import compile_for_inference
from gc2l.edge.grouped import TENSORS
from gc2l.edge.layer import InferenceConv2d, choose_engine

FORMAT = "gc2l.edge 1"


def save_compiled(network: nn.Module, path: str | Path) -> None:
    """Write what `compile_for_inference` returned.

    Raises:
        ValueError: a network without a compiled layer.
        FileNotFoundError: the folder of `path` is missing.
    """
    from safetensors.torch import save_file  # noqa: PLC0415

    layers = _compiled_layers(network)
    if not layers:
        raise ValueError("network has no compiled layer: save its state_dict(), or compile it first")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(f"path={path}: there is no folder {Path(path).parent}")
    tensors = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    settings = {name: layer.settings() for name, layer in layers.items()}
    save_file(tensors, path, {"format": FORMAT, "layers": json.dumps(settings)})


def load_compiled(path: str | Path, network: nn.Module, *, engine: str | None = None) -> nn.Module:
    """The compiled network in `path`; no code is read from it.

    Args:
        path: a file of `save_compiled`.
        network: of the same architecture, with any weights; it stays as it is.
        engine: as in `compile_for_inference`; it may be another than when the file was written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such file or damaged, or of another architecture; the first layer that differs is named.
        ImportError: as `compile_for_inference`.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    chosen = choose_engine(engine)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{path} has format={metadata.get('format')!r}; a compiled network has {FORMAT!r}")
    compiled = compile_for_inference(network, engine=chosen)
    settings = _settings(path, metadata)
    here = _compiled_layers(compiled)
    if different := sorted(settings.keys() ^ here.keys()):
        raise ValueError(f"{path} is of another architecture: {different[0]!r} is compiled in one of the two only")
    for name, of in settings.items():
        own = {part: tensors[f"{name}.{part}" if name else part] for part in _parts(tensors, name)}
        try:
            layer = InferenceConv2d.from_settings(of, own, chosen, here[name]).eval()
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {name!r} cannot be a layer: {error!r}") from error
        _check_same(path, name, here[name], layer)
        if name == "":
            return layer
        compiled.set_submodule(name, layer)
    try:
        compiled.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} is of another architecture: {error}") from error
    return compiled


def _settings(path: str | Path, metadata: dict[str, str]) -> dict[str, dict[str, Any]]:
    try:
        settings = json.loads(metadata["layers"])
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged: what it says of its layers cannot be read: {error!r}") from error
    if not isinstance(settings, dict) or not all(isinstance(of, dict) for of in settings.values()):
        raise ValueError(f"{path} is damaged: it says of its layers {settings}")
    return settings


def _check_same(path: str | Path, name: str, expected: InferenceConv2d, found: InferenceConv2d) -> None:
    mine, other = _architecture(expected), _architecture(found)
    if (expected.inputs is None) != (found.inputs is None) and 1 in (mine["groups"], other["groups"]):
        # FLGC, whose learned groups are padded to equal sizes, or dense where that has fewer numbers.
        del mine["groups"], mine["outputs"]
    for what, value in mine.items():
        if other[what] != value:
            raise ValueError(f"{path} is of another architecture: {name!r} has {what}={other[what]}, not {value}")


def _architecture(layer: InferenceConv2d) -> dict[str, Any]:
    """What does not depend on the weights."""
    of = layer.convolution
    return {
        "c_in": of.c_in,
        "c_out": of.c_out,
        "kernel": of.kernel,
        **layer.settings(),
        "bias": of.bias is not None,
        "coarse": 0 if of.restriction is None else len(of.restriction),
        "outputs": of.outputs is not None,
    }


def _parts(tensors: dict[str, Tensor], name: str) -> list[str]:
    return [part for part in TENSORS if (f"{name}.{part}" if name else part) in tensors]


def _compiled_layers(network: nn.Module) -> dict[str, InferenceConv2d]:
    return {name: part for name, part in network.named_modules() if isinstance(part, InferenceConv2d)}
