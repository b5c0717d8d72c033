"""How upstream servers are spoken to. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """Deadlines, limits and trust of the one client that fetches."""

    connect_timeout: float = 10.0
    """Seconds to connect, TLS included."""

    read_timeout: float = 30.0
    """Seconds to wait for the head of an answer, and between two pieces of its body."""

    slowest: int = 1024
    """Bytes per second, over `read_timeout`, below which a body is given up; 0: never."""

    attempts: int = 3
    """How often a request is sent at the most; only GET and HEAD are ever sent."""

    backoff: float = 0.3
    """Seconds before the second attempt; each further one waits twice as long, with jitter."""

    backoff_max: float = 5.0
    """Seconds that any wait is limited to; a Retry-After above it is passed on to the client."""

    resumes: int = 5
    """How often a body that breaks off is resumed without any progress in between."""

    trip_after: int = 5
    """Failures of a host in a row after which it is left alone for a while; 0: it never is."""

    connections: int = 100
    """Connections at the same time, to all hosts."""

    connections_per_host: int = 16
    """Connections at the same time, to one host."""

    ca_bundle: Path | None = None
    """A file of CA certificates in PEM form; default: SSL_CERT_FILE, else the system's."""

    trust_env: bool = True
    """Whether HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured."""
