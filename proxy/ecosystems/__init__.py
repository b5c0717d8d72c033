"""The table of ecosystems: a new one is a folder and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.ecosystems.base import Ecosystem
from proxy.ecosystems.conda.ecosystem import Conda
from proxy.ecosystems.cran.ecosystem import Cran
from proxy.ecosystems.files.ecosystem import Files
from proxy.ecosystems.pypi.ecosystem import PyPI

ECOSYSTEMS: Mapping[str, Ecosystem] = {
    ecosystem.name: ecosystem for ecosystem in (Conda(), PyPI(), Cran(), Files())
}
