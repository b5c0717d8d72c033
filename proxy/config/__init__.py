"""Settings: what an operator may write, checked and typed. See `settings.py` and `loading.py`."""

from __future__ import annotations

from proxy.config.loading import Loaded, load
from proxy.config.settings import Settings

__all__ = ["Loaded", "Settings", "load"]
