"""Settings: what an operator may write, checked and typed. See `declared.py`, `settings.py` and `loading.py`."""

from __future__ import annotations

from proxy.config.loading import Flag, Loaded, load
from proxy.config.settings import Settings

__all__ = ["Flag", "Loaded", "Settings", "load"]
