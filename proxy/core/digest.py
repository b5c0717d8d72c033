"""The name of a body of bytes."""

from __future__ import annotations

import hashlib
from typing import NewType

Digest = NewType("Digest", str)
"""Lower-case hex SHA-256. A blob's only name."""


def digest_of(body: bytes) -> Digest:
    """Name *body*."""
    return Digest(hashlib.sha256(body).hexdigest())
