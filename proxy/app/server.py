"""One worker process: everything is built here, and nowhere else are concrete classes named.

`Worker.run` builds the rooms bottom up, serves until told to stop, and takes them down in the
opposite order. Requests that are under way when it is told to stop get `drain` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy import __version__
from proxy.app.reporting import Reporting
from proxy.config import Loaded, Settings, load
from proxy.core.model import Mirror, Resource
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ConfigError
from proxy.gateway.answer import Answer, Want
from proxy.gateway.crew import Crew
from proxy.gateway.fetching import Fetching
from proxy.gateway.gateway import Gateway
from proxy.gateway.indexes import Indexes
from proxy.gateway.janitor import Janitor
from proxy.gateway.plain import PlainFiles
from proxy.gateway.pool import Pool
from proxy.gateway.team import Solo, Team
from proxy.gateway.views import Views
from proxy.observe.log import Level, Log, Style
from proxy.observe.metrics import Metrics
from proxy.storage.catalog import DiskCatalog
from proxy.storage.disk import DiskBlobs
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.credentials import Credentials
from proxy.web.content import Content
from proxy.web.pages import Pages
from proxy.web.paths import Mirrors
from proxy.web.sending import Outlet
