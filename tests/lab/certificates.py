"""Certificates that nobody but the test trusts, made with openssl."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


def certificate(folder: Path, name: str, host: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate of its own for *host*, and its key."""
    folder.mkdir(exist_ok=True)
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}"]
    files = ["-keyout", str(key), "-out", str(made)]
    command = ["openssl", "req", "-x509", *kind, *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return made, key
