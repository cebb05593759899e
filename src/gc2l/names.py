"""Names that a user gives: variants, presets, data sets."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among `known`: it lists these, and the nearest again.

    Args:
        what: the argument that has the name.
        name: what was given.
        known: what may be given.
    """
    names = list(known)
    near = get_close_matches(str(name), names)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return ValueError(f"{what}={name!r} is unknown; choose one of {', '.join(map(repr, names))}{hint}")


def check_choice(what: str, value: str, known: Iterable[str]) -> None:
    """Check an option that has a few values.

    Raises:
        ValueError: `value` is none of `known`, see `unknown`.
    """
    names = list(known)
    if value not in names:
        raise unknown(what, value, names)
