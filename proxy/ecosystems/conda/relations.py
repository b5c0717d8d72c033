"""Relations of a channel to others (CEP 42), as far as they lead to channels that are served here.

Clients resolve them against the address at which they reach us, so a relation that upstream can
keep may lead nowhere here, or back to the channel itself, which they must refuse as a cycle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from proxy.core.model import Index
from proxy.ecosystems.base import Context

# CEP 42 allows nothing but paths that start so; CEP 26 has no other characters in channels.
_REFERENCE = re.compile(r"\.\./[A-Za-z0-9_./-]*")


def kept(index: Index, relations: object, context: Context) -> Mapping[str, Any]:
    """Those of *relations* that clients of ours can follow."""
    if not isinstance(relations, dict):
        return {}
    return {name: to for name, to in relations.items() if _is_served(index, to, context)}


def _is_served(index: Index, reference: object, context: Context) -> bool:
    """Whether *reference* leads from the index's channel to another mirror or label of ours."""
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        return False
    label = index.path.rpartition("/")[0].rpartition("/")[0]
    channel = f"{context.mirror}/{label}".rstrip("/")
    reached = _resolved(channel, reference)
    if reached is None or reached == channel:
        return False
    kind, _, name = reached.partition("/")
    if kind != context.mirror.partition("/")[0]:
        return False
    return name in context.siblings or any(
        name.startswith(f"{sibling}/label/") for sibling in context.siblings
    )


def _resolved(channel: str, reference: str) -> str | None:
    """The path that *reference* leads to; None where it leaves our root.

    There it would depend on what stands before the root in the client's address: a token, say.
    """
    segments = channel.split("/")
    for segment in reference.removesuffix("/").split("/"):
        match segment:
            case "..":
                if not segments:
                    return None
                segments.pop()
            case ".":
                pass
            case _:
                segments.append(segment)
    return "/".join(segments)
