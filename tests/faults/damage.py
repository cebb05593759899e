"""Ways in which a file comes to hold something else."""

import random
from pathlib import Path

PAGE = 4096


def damage(path: Path, rng: random.Random, other: bytes) -> str:
    """Change the content of `path` in one of four ways, and say how; `other` is the content of another such file."""
    content = path.read_bytes()
    while True:
        changed, how = _change(content, rng, other)
        if changed != content:
            path.write_bytes(changed)
            return how


def _change(content: bytes, rng: random.Random, other: bytes) -> tuple[bytes, str]:
    place = rng.randrange(len(content))
    match rng.choice(["bit", "page", "end", "other"]):
        case "bit":
            flipped = content[place] ^ (1 << rng.randrange(8))
            return content[:place] + bytes([flipped]) + content[place + 1 :], f"bit of byte {place} flipped"
        case "page":
            start = place // PAGE * PAGE
            zeros = bytes(len(content[start : start + PAGE]))
            return content[:start] + zeros + content[start + PAGE :], f"page at {start} zeroed"
        case "end":
            return content[:place], f"cut to {place} bytes"
        case _:
            return other, "replaced by another such file"
