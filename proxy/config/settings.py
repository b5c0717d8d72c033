"""All settings, typed and frozen. `declared` has their names, kinds and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.active import active_of
from proxy.config.admin import AdminSettings, admin_of
from proxy.config.credentials import Credential
from proxy.config.mirrors import with_slash
from proxy.config.upstream_settings import UpstreamSettings
from proxy.config.written import Written
from proxy.core.model import Bounds, Mirror
from proxy.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How clients are served."""

    host: str
    port: int
    workers: int
    max_connections: int
    drain_timeout: float
    socket: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    trusted_proxies: tuple[str, ...]

    @property
    def scheme(self) -> str:
        """What the addresses that clients use begin with."""
        return "http" if self.tls_certificate is None else "https"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Where bodies and the catalog are kept, and how much of them; `max_size` in bytes."""

    layers: tuple[Path, ...]
    max_size: int | None
    keep_superseded: float

    @property
    def path(self) -> Path:
        """The first folder."""
        return self.layers[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """What is logged, and how."""

    format: str
    level: str
    requests: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSettings:
    """Who may have what."""

    public: tuple[str, ...]
    tokens: Path | None
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorySettings:
    """Where known vulnerabilities are read from; `osv` None: from nowhere."""

    osv: Path | None
    overlay: Path | None
    conda_names: Path | None
    interval: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set; `doubts`: what of it is likely to be a mistake."""

    server: Server
    cache: Cache
    access: AccessSettings
    log: Logging
    upstream: UpstreamSettings
    advisories: AdvisorySettings
    admin: AdminSettings
    auth_file: Path | None
    credentials: Mapping[str, Credential] = field(repr=False)
    mirrors: tuple[Mirror, ...]
    policies: Mapping[str, Policy] = field(default_factory=dict)
    written: tuple[Written, ...] = field(default=(), compare=False)  # how it is said, not what
    doubts: tuple[str, ...] = field(default=(), compare=False)

    @property
    def token_file(self) -> Path:
        """Where tokens are kept."""
        return self.access.tokens or self.cache.path / "tokens.json"


ANACONDA = "https://repo.anaconda.com/pkgs"
DEFAULT_MIRRORS: tuple[Mapping[str, str], ...] = (
    {"type": "conda", "name": "conda-forge", "source": "https://conda.anaconda.org/conda-forge"},
    {"type": "conda", "name": "main", "source": f"{ANACONDA}/main"},
    {"type": "conda", "name": "r", "source": f"{ANACONDA}/r"},
    {"type": "conda", "name": "msys2", "source": f"{ANACONDA}/msys2"},
    {"type": "pypi", "name": "pypi", "source": "auto"},
    {"type": "cran", "name": "cran", "source": "https://cloud.r-project.org"},
)
"""What is served where no mirror is configured."""

_BOUNDS = (
    "fresh_min",
    "fresh_max",
    "fresh_default",
    "stale_while_revalidate",
    "stale_if_error",
    "negative",
)


def mirror_of(values: Mapping[str, Any], policy: Policy | None, *, offline: bool) -> Mirror:
    """The mirror that checked *values* describe, with its effective policy.

    *offline*: all mirrors are.
    """
    bounds = {name: values[name] for name in _BOUNDS}
    return Mirror(
        name=values["name"],
        type=values["type"],
        source=with_slash(values["source"]),
        bounds=Bounds(**bounds, offline=values["offline"] or offline),
        credentials=values["credentials"],
        allow_hosts=values["allow_hosts"],
        policy=policy,
        only_present=values["offline_index"] == "present",
        active=active_of(values),
    )


def _cache(path: tuple[Path, ...], **values: Any) -> Cache:
    return Cache(layers=path, **values)


def settings_of(
    sections: Mapping[str, Mapping[str, Any]],
    auth_file: Path | None,
    credentials: Mapping[str, Credential],
    mirrors: tuple[Mirror, ...],
    policies: Mapping[str, Policy],
    *,
    written: tuple[Written, ...],
    doubts: tuple[str, ...],
) -> Settings:
    """The settings that checked values of all *sections* and the rest make."""
    return Settings(
        server=Server(**sections["server"]),
        cache=_cache(**sections["cache"]),
        access=AccessSettings(**sections["access"]),
        log=Logging(**sections["log"]),
        upstream=UpstreamSettings(**sections["upstream"]),
        advisories=AdvisorySettings(**sections["advisories"]),
        admin=admin_of(sections["admin"], credentials),
        auth_file=auth_file,
        credentials=credentials,
        mirrors=mirrors,
        policies=policies,
        written=written,
        doubts=doubts,
    )
