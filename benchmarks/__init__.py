"""Measurements against peers on one machine: `python -m benchmarks [--full] [name ...]`."""
