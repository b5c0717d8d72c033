"""`python -m proxy` and the `pkgproxy` command."""

from __future__ import annotations


def main() -> None:
    """Run the command line; exits with its status."""
    from proxy.cli import main as run  # noqa: PLC0415 - a rendering process imports this module

    run()


if __name__ == "__main__":
    main()
