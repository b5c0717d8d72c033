"""Why something cannot be solved or resolved: perhaps because a policy hides it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from proxy.core.telling import refused_first
from proxy.mirror.wanted.closure import Failure
from proxy.upstream.served import Served, Server


async def explained(
    failure: Failure, server: Server, mirrors: Iterable[Served], packages: Iterable[str]
) -> Failure:
    """*failure* with what the policies of *mirrors* hide of *packages*, if they hide any."""
    names = list(dict.fromkeys(packages))
    told, rules = [failure.reason], []
    for mirror in mirrors:
        for name in names:
            for one in await server.refused(mirror.key, name):
                count = "1 file" if one.files == 1 else f"{one.files} files"
                reason = refused_first(one.reason, one.files, one.until)
                told.append(f"{one.rule} hides {count} of {name}: {reason}")
                rules.append(one.rule)
    return replace(failure, reason="; ".join(told), rule=rules[0] if rules else failure.rule)
