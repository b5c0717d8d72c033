"""pkgproxy: a local caching proxy with passive mirroring for conda, pip and R."""

__version__ = "0.1.0"
