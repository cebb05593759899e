"""torchvision, or an error that says how to install it.

PyTorch Lightning imports torchvision, too, so a package that uses it imports `gc2l.models` first, see
`gc2l.models.torchvision_operators`.
"""

try:
    import torchvision
except ModuleNotFoundError as error:
    if error.name != "torchvision":
        raise
    raise ImportError("torchvision is not installed; install it with: pip install 'gc2l[models]'") from error

__all__ = ["torchvision"]
