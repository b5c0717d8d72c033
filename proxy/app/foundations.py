"""What a gateway stands on, in a worker as in a process apart: log, store, and the way upstream."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from proxy.app.reporting import Reporting
from proxy.config import Settings
from proxy.observe.log import Level, Log, Style
from proxy.storage.catalog import IN_MEMORY
from proxy.storage.opening import Store, opened
from proxy.storage.trouble import Trouble
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.credentials import Credentials, netrc_path
from proxy.upstream.oauth import refresh


def log_of(settings: Settings) -> Log:
    """Lines on standard error, in the form and from the level on that are configured."""
    level = Level[settings.log.level.upper()]
    return Log(sys.stderr.buffer, style=Style(settings.log.format), level=level)


def store_of(
    stack: AsyncExitStack,
    settings: Settings,
    reporting: Reporting,
    log: Log,
    *,
    spare: Path | None = None,
    in_memory: int = IN_MEMORY,
) -> Store:
    """The cache folders, opened (see `proxy.storage.opening.opened`) until *stack* is taken down.

    Raises StorageError.
    """
    store = opened(
        settings.cache.layers,
        spare=spare,
        limit=settings.cache.max_size,
        trouble=Trouble(reporting.trouble),
        on_loss=lambda what: log.event("catalog_loss", level=Level.ERROR, what=what),
        in_memory=in_memory,
    )
    stack.push_async_callback(store.aclose)
    return store


def credentials_of(settings: Settings) -> Credentials:
    """Those for upstream, from everywhere that some are looked for."""
    return Credentials(
        named=settings.credentials,
        auth_file=settings.auth_file,
        netrc_file=netrc_path(os.environ),
        refresh=refresh,
    )


def upstream_of(
    stack: AsyncExitStack, settings: Settings, credentials: Credentials, reporting: Reporting
) -> AiohttpUpstream:
    """The client of all upstream servers, until *stack* is taken down."""
    upstream = AiohttpUpstream(settings.upstream, authority=credentials, observer=reporting)
    stack.push_async_callback(upstream.aclose)
    return upstream
