"""What W&B wrote into the file of an offline run, read without its client."""

import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as messages

BLOCK = 32 * 1024
HEADER = struct.Struct("<IHB")  # checksum, length, kind: the pieces of LevelDB's log format
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def read_offline_run(path: Path) -> dict[str, list]:
    """The messages of a .wandb file by kind, each in the order of writing."""
    found: dict[str, list] = {}
    for content in _contents(path.read_bytes()):
        record = messages.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def _contents(data: bytes) -> Iterator[bytes]:
    position, pieces = 7, b""  # after the file's own header
    while position + HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER.size:
            position += left
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        position += HEADER.size
        pieces += data[position : position + length]
        position += length
        if kind in (FULL, LAST):
            yield pieces
            pieces = b""
