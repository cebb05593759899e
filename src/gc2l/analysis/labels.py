"""The names that readers see for networks and data sets."""

from gc2l.cells import Cell

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "digits": "Digits",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
}


def paper_network_label(network: str) -> str:
    """The name of a network of the paper: "wide_resnet_28_10" is "WideResNet-28-10"."""
    if network == "mobilenet_v2":
        return "MobileNetV2"
    return network.replace("wide_resnet", "WideResNet").replace("_", "-")


def model_label(cell: Cell) -> str:
    """The name of the network that a cell trains, such as "WideResNet-10-4" or "MobileNetV2 x 0.25"."""
    model = cell.model
    if model.depth is None:
        return "MobileNetV2" if model.width == 1 else f"MobileNetV2 x {model.width:g}"
    return f"WideResNet-{model.depth}-{model.width:g}"


def run_label(cell: Cell) -> str:
    """What a cell trains on what and how long, such as "WideResNet-10-4 on CIFAR-10, 4 epochs"."""
    images = DATASETS[cell.data.name]
    if cell.data.image_size is not None:
        images += f" at {cell.data.image_size} px"
    epochs = cell.training.epochs
    return f"{model_label(cell)} on {images}, {epochs} {'epoch' if epochs == 1 else 'epochs'}"
