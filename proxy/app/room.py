"""How many clients there is room for: the system bounds the descriptors that a process has."""

from __future__ import annotations

import contextlib
import resource

from proxy.config import Settings

EACH = 4
"""Descriptors for a client that is served: its socket, that once more, a file, and the socket of
another one that is turned away meanwhile."""

OWN = 512
"""Descriptors for the catalog, for siblings, for rendering processes, for what is being written,
and for files of answers that lie ready (`proxy.web.ready.FILES`)."""

OF_UPSTREAM = 4
"""Descriptors for each connection to upstream: there are two sessions, and each fills a file."""

FEWEST = 16


def room(settings: Settings) -> int:
    """Connections that this process may have: as many as configured, if the system lets it.

    Raises this process's limit to what they need, where that may be done.
    """
    wanted = settings.server.max_connections
    own = OWN + OF_UPSTREAM * settings.upstream.connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = own + EACH * wanted
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(OSError, ValueError):  # a service manager may forbid even that
            more = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    return max(FEWEST, (soft - min(own, soft // 2)) // EACH)
