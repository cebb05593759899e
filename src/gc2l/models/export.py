"""A network as an ONNX file, with what onnxruntime makes of it held against the network itself."""

import copy
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from gc2l.files import new_files
from gc2l.models.fusion import fuse_batch_norm
from gc2l.names import check_choice
from gc2l.nn import Convolution, GroupConv2d

Form = Literal["structured", "dense"]

TOLERANCE = 1e-3
"""Largest difference of a file that is kept, as a share of the largest output: both sides compute in 32 bits."""


def export_onnx(network: nn.Module, path: str | Path, image_size: int, form: Form = "structured") -> float:
    """Write `network` to an ONNX file for batches of any size, run it with onnxruntime and compare.

    Every batch norm that follows a convolution is folded into it, see `fuse_batch_norm`. Where this raises an error,
    the file is as it was before, or is not there.

    Args:
        network: takes images (N, 3, H, W) in float32; in evaluation mode, on the CPU. It stays as it is.
        path: the file, ending in .onnx. Weights of more than 2 GB go to a second file, `path` with .data added.
        image_size: H = W, in pixels.
        form: "structured" writes the grouped convolutions of each layer, "dense" the standard convolution that it
            equals, which has about n times the numbers and which every runtime computes well.

    Returns:
        The largest difference between the outputs, for random images.

    Raises:
        ValueError: another suffix or form, training mode, or a file whose outputs differ by more than `TOLERANCE`.
        ModuleNotFoundError: onnx, onnxscript or onnxruntime are not installed.
    """
    # Here, so that everything else works without.
    import onnxruntime  # noqa: PLC0415

    path = Path(path)
    check_choice("form", form, get_args(Form))
    if path.suffix != ".onnx":
        raise ValueError(f"path={path} must end in .onnx")
    fused = fuse_batch_norm(network)
    exported = fused if form == "structured" else dense_form(fused)
    images = torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    program: Any = torch.onnx.export(
        exported,
        (images,),
        dynamo=True,
        dynamic_shapes=({0: batch},),
        input_names=["images"],
        output_names=["logits"],
        verbose=False,
    )
    with new_files(path) as new:
        program.save(new)
        session = onnxruntime.InferenceSession(new, providers=["CPUExecutionProvider"])
        images = torch.cat([images, -images[:1]])  # another batch size than the one it was traced with
        with torch.no_grad():
            expected = network(images)
        (outputs,) = session.run(["logits"], {"images": images.numpy()})
        difference = (torch.from_numpy(outputs) - expected).abs().max().item()
        largest = expected.abs().max().item()
        if not difference <= TOLERANCE * largest:
            raise ValueError(f"onnxruntime's outputs of {path} differ by {difference:.2e} of {largest:.2e}")
    return difference


def dense_form(network: nn.Module) -> nn.Module:
    """A copy of `network` with every layer of `gc2l.nn` as the standard convolution that it equals."""
    dense = copy.deepcopy(network)
    layers: list[tuple[str, Any]] = [
        (name, layer)
        for name, layer in dense.named_modules(remove_duplicate=False)
        if isinstance(layer, GroupConv2d | Convolution)
    ]
    for name, layer in layers:
        standard = layer.to_dense().eval()
        if name == "":
            return standard
        dense.set_submodule(name, standard)
    return dense.eval()
