"""Find the Parquet files of a data set, in the layouts of the Hugging Face hub, and check that none is missing."""

import re
from collections.abc import Sequence
from pathlib import Path

LAYOUTS = "train-*.parquet, data/train-*.parquet or <config>/train/0000.parquet"


def find_shards(folder: Path, test: str) -> tuple[list[Path], list[Path]] | None:
    """The files of both halves of a set below `folder`, each sorted; None when there are none.

    They are `<split>-*.parquet`, or `<split>/0000.parquet` and so on as in the hub's converted branches, in one folder
    anywhere below `folder`; the folder's name, such as data, default or plain_text, does not matter.

    Args:
        folder: of the data set.
        test: name of the second split, "test" or "validation".

    Raises:
        FileNotFoundError: one split, or a shard, is missing.
        ValueError: files in several folders (configurations), or of several versions of the set.
    """
    files = sorted(folder.rglob("*.parquet"))
    halves = {split: [file for file in files if _belongs(file, split)] for split in ("train", test)}
    if not any(halves.values()):
        partial = [file for file in files if file.parent.name.startswith("partial-")]
        if partial:
            raise FileNotFoundError(
                f"{partial[0].parent} is a part of the data set only: the hub converts the first gigabytes of large "
                f"sets. Take the set's own files, data/train-*.parquet and data/{test}-*.parquet"
            )
        return None
    places = sorted({_place(file, split, folder) for split, half in halves.items() for file in half})
    if len(places) > 1:
        names = ", ".join(place.relative_to(folder).as_posix() for place in places)
        raise ValueError(f"{folder} has Parquet files in several folders: {names}. Keep one, or move the others away")
    for split, half in halves.items():
        if not half:
            known = [file for half in halves.values() for file in half]
            others = ", ".join(file.name for file in files if file not in known)
            found = f"; found {others}" if others else ""
            raise FileNotFoundError(f"{places[0]} has no {split}-*.parquet and no {split}/0000.parquet{found}")
        _check_complete(half, split)
    return halves["train"], halves[test]


def check_rows(files: Sequence[Path], rows: int, expected: int) -> None:
    """Check that the last files are there: names such as `0000.parquet` do not tell how many there should be.

    Raises:
        FileNotFoundError: files with such names have fewer rows than the data set.
    """
    if files[0].stem.isdigit() and rows < expected:
        raise FileNotFoundError(
            f"{files[0].parent} has {rows} rows up to {files[-1].name}, but the set has {expected}: the last files "
            "are missing, or it is another set"
        )


def _belongs(file: Path, split: str) -> bool:
    converted = file.parent.name == split and re.fullmatch(r"\d+\.parquet", file.name) is not None
    return converted or file.name.startswith(f"{split}-")


def _place(file: Path, split: str, folder: Path) -> Path:
    inside = file.parent.name == split and file.parent != folder
    return file.parent.parent if inside else file.parent


def _check_complete(files: Sequence[Path], split: str) -> None:
    """Check that the numbers in the files' names, if any, are those of one complete set."""
    numbered = {}
    for file in files:
        match = re.fullmatch(rf"{split}-(\d+)-of-(\d+)(?:-\w+)?\.parquet|(\d+)\.parquet", file.name)
        if match is not None:
            numbered[file] = (int(match[1] or match[3]), match[2])
    if not numbered:
        return
    counts = {count for _, count in numbered.values()}
    indices = sorted(index for index, _ in numbered.values())
    if len(numbered) < len(files) or len(counts) > 1 or len(set(indices)) < len(indices):
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{files[0].parent} has {split} files of more than one version of the set: {names}")
    count = counts.pop()
    total = indices[-1] + 1 if count is None else int(count)
    for index in range(total):
        if index not in indices:
            name = f"{index:04d}" if count is None else f"{split}-{index:0{len(count)}d}-of-{count}"
            raise FileNotFoundError(
                f"{files[0].with_name(name)}.parquet is missing: the data set has "
                f"{'at least ' if count is None else ''}{total} files, and {files[0].name} is there"
            )
