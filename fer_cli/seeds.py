"""One seed in, many independent streams out.

Every random choice of a run (split, label noise, weights, shuffling, augmentation) has a stream of its own, named by
what it is for. Streams are stateless: the stream of epoch 7 does not depend on epochs 1-6, which is what makes an
interrupted run continue exactly.
"""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part, e.g. ``derive_seed(seed, "shuffle", epoch)``."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
