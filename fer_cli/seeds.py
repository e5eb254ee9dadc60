"""Independent random streams derived from one seed, each named by its purpose (split, label noise, weights, shuffle, ...).

Streams are stateless: epoch 7 does not depend on epochs 1-6, so an interrupted run resumes exactly.
"""

from __future__ import annotations

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on every part, e.g. ``derive_seed(seed, "shuffle", epoch)``."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
