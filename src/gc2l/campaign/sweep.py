"""A sweep file: W&B's YAML for a grid of parameters, expanded as its server and its agent do."""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

Point = Mapping[str, object]  # one value for each parameter


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What to run, and with which parameters.

    Attributes:
        name: the sweep's.
        program: the script, as it stands in the command.
        command: words of a command line; "${env}", "${interpreter}", "${program}" and "${args}" stand for others.
        parameters: the values of each parameter.
    """

    name: str
    program: str
    command: tuple[str, ...]
    parameters: Mapping[str, tuple[object, ...]]

    def points(self) -> list[Point]:
        """Every combination; the file's first parameter varies slowest."""
        return [
            dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*self.parameters.values())
        ]

    def command_line(self, point: Point) -> list[str]:
        """The command that W&B's agent would run for `point`, with this Python."""
        words = {
            "${env}": ["/usr/bin/env"],
            "${interpreter}": [sys.executable],
            "${program}": [self.program],
            "${args}": [f"--{name}={point[name]}" for name in sorted(point)],
        }
        return [word for entry in self.command for word in words.get(entry, [entry])]

    def arguments(self, point: Point) -> list[str]:
        """The arguments of the program for `point`."""
        words = self.command_line(point)
        return words[words.index(self.program) + 1 :]


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        ValueError: a file that is not a grid sweep, or needs W&B's server; the message names it.
        FileNotFoundError: there is no such file.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is not a mapping of keys to values")
        if missing := {"program", "method", "command", "parameters"} - content.keys():
            raise ValueError(f"the key {min(missing)!r} is missing")
        for key, kind in {"command": list, "parameters": dict, "program": str}.items():
            if not isinstance(content[key], kind):
                raise ValueError(f"{key} is {content[key]!r}; it has to be a {kind.__name__}")
        if content["method"] != "grid":
            raise ValueError(f"method={content['method']!r}; without W&B's server only 'grid' can be run")
        command = tuple(str(word) for word in content["command"])
        if command.count("${args}") != 1 or not {"${program}", content["program"]} & set(command):
            raise ValueError("its command must have ${args} once and name its program")
        known = {"${env}", "${interpreter}", "${program}", "${args}"}
        if unknown := [word for word in command if "${" in word and word not in known]:
            raise ValueError(f"its command has {unknown[0]!r}; it may have {', '.join(sorted(known))}")
        parameters = {name: _values(name, entry) for name, entry in content["parameters"].items()}
        return Sweep(
            name=content.get("name", path.stem), program=content["program"], command=command, parameters=parameters
        )
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _values(name: str, entry: object) -> tuple[object, ...]:
    if isinstance(entry, dict):
        match list(entry.items()):
            case [("value", value)]:
                return (value,)
            case [("values", [_, *_] as values)]:
                return tuple(values)
    raise ValueError(f"the parameter {name!r} is {entry!r}; a grid has either one 'value' or a list of 'values'")
