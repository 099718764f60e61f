"""Which clips are held out. By clip and not by row, so that no question about a held-out clip is ever trained on."""

from __future__ import annotations

import hashlib


def is_held_out(path: str, share: float) -> bool:
    """Whether the medium at `path` belongs to the held-out `share` of all media, in [0, 1].

    A function of the path alone: every run and every machine holds out the same clips, and those of a smaller share
    are among those of a larger one.
    """
    first = hashlib.sha256(path.encode()).digest()[:4]
    return int.from_bytes(first, "big") / 2**32 < share
