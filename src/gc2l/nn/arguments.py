"""The arguments of the layers: whole numbers, pairs of them, and numbers of groups."""

import math
import operator
from typing import Any


def pair(value: Any) -> tuple[int, int]:
    """One whole number, or two, of any type such as NumPy's, as two of Python's: (vertical, horizontal).

    Raises:
        TypeError: they are no whole numbers.
        ValueError: they are neither one nor two.
    """
    vertical, horizontal = value if isinstance(value, (tuple, list)) else (value, value)
    return operator.index(vertical), operator.index(horizontal)


def window(kernel_size: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, Any]:
    """The four as arguments of `nn.Conv2d`: pairs of whole numbers from 1 on, padding from 0 on or a name.

    Raises:
        ValueError: another value; the message names the argument.
    """
    given = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}
    for name, value in given.items():
        if name == "padding" and isinstance(value, str):
            continue  # PyTorch knows the names
        least = 0 if name == "padding" else 1
        try:
            given[name] = pair(value)
            right = min(given[name]) >= least
        except (TypeError, ValueError):
            right = False
        if not right:
            raise ValueError(f"{name}={value!r} must be a whole number from {least} on, or two of them")
    return given


def check_whole(**values: Any) -> None:
    """Check that values by the names of their arguments are whole numbers, of any type such as NumPy's.

    Raises:
        ValueError: one is not; the message names the argument.
    """
    for name, value in values.items():
        if not hasattr(value, "__index__"):
            raise ValueError(f"{name}={value!r} must be a whole number")


def check_groups(in_channels: int, out_channels: int, groups: int, *, divisible: bool = True) -> None:
    """Check a number of groups against the channel counts.

    Raises:
        ValueError: groups or a channel count that is no whole number or < 1, or, where `divisible`, a channel count
            that `groups` does not divide.
    """
    check_whole(groups=groups, in_channels=in_channels, out_channels=out_channels)
    if groups < 1:
        raise ValueError(f"groups={groups} must be at least 1")
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels < 1:
            raise ValueError(f"{name}={channels} must be at least 1")
    if not divisible:
        return
    common = math.gcd(in_channels, out_channels)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(
                f"{name}={channels} is not divisible by groups={groups}; with in_channels={in_channels} and "
                f"out_channels={out_channels} groups can be {_listed_divisors(common)}"
            )


def _listed_divisors(number: int) -> str:
    return ", ".join(str(divisor) for divisor in range(1, number + 1) if number % divisor == 0)
