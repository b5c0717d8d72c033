"""The administration's doors: off by default, and never open by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config import load
from proxy.config.admin import ADDRESS, Address, AdminSettings
from proxy.errors import ConfigError

TOKEN = "hunter2-hunter2-hunter2"
BEARER = f'[credentials.boss]\nkind = "bearer"\ntoken = "{TOKEN}"\n'


def _read(folder: Path, text: str) -> AdminSettings:
    path = folder / "pkgproxy.toml"
    path.write_text(text)
    return load(path, {}).settings.admin


def test_it_is_off_by_default() -> None:
    assert load(None, {}).settings.admin == AdminSettings()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "[::1]", "localhost"])
def test_this_machine_alone_needs_no_token(tmp_path: Path, host: str) -> None:
    admin = _read(tmp_path, f'[admin]\nlisten = "{host}:8081"\n')
    assert admin.listen == Address(host=host.strip("[]"), port=8081)
    assert admin.token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "proxy.example.org"])
def test_other_machines_need_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match=r"pkgproxy.toml:2: admin.listen: .*other machines"):
        _read(tmp_path, f'[admin]\nlisten = "{host}:8081"\n')
    text = f'[admin]\nlisten = "{host}:8081"\ncredentials = "boss"\n{BEARER}'
    assert _read(tmp_path, text).token == TOKEN


def test_a_token_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    text = '[admin]\ncredentials = "boss"\n[credentials.boss]\nkind = "bearer"\ntoken = "abc"\n'
    with pytest.raises(ConfigError, match="too short") as caught:
        _read(tmp_path, text)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("table", ["", '[credentials.boss]\nkind = "token"\ntoken = "abc"\n'])
def test_only_a_bearer_will_do(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match=r"admin.credentials: write .* of kind \"bearer\""):
        _read(tmp_path, f'[admin]\nlisten = "127.0.0.1:1"\ncredentials = "boss"\n{table}')


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            'listen = "127.0.0.1:1"\ntls_certificate = "{file}"',
            r"pkgproxy\.toml:3: admin.tls_certificate: a certificate needs its key",
        ),
        ('listen = "127.0.0.1:1"\ntls_key = "{file}"', "3: admin.tls_key: a key needs its"),
        ('tls_key = "{file}"\ntls_certificate = "{file}"', "it is for admin.listen"),
    ],
)
def test_a_certificate_has_its_key_and_its_address(tmp_path: Path, keys: str, problem: str) -> None:
    file = tmp_path / "any.pem"
    file.touch()
    with pytest.raises(ConfigError, match=problem):
        _read(tmp_path, f"[admin]\n{keys.format(file=file)}\n")


def test_with_a_certificate_it_is_shown_as_https(tmp_path: Path) -> None:
    file = tmp_path / "any.pem"
    file.touch()
    pair = f'tls_certificate = "{file}"\ntls_key = "{file}"\n'
    assert _read(
        tmp_path, f'[admin]\nlisten = "[::]:8"\n{pair}credentials = "boss"\n{BEARER}'
    ).shown == ("https://127.0.0.1:8/")


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    text = f'[admin]\nlisten = "127.0.0.1:1"\ncredentials = "boss"\n{BEARER}'
    assert TOKEN not in repr(_read(tmp_path, text))


@pytest.mark.parametrize("raw", ["8081", "127.0.0.1", "::1:8081", "a b:1", "h:65536", 8081, "h:"])
def test_what_is_no_address_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="write an address"):
        ADDRESS.read(raw)
