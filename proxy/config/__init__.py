"""Settings: what an operator may write (`declared`), typed (`settings`) and checked (`loading`)."""

from __future__ import annotations

from proxy.config.loading import Flag, Loaded, load
from proxy.config.settings import Settings

__all__ = ["Flag", "Loaded", "Settings", "load"]
