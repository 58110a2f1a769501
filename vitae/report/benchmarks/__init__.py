"""Benchmarks, one module per subject of `vitae bench SUBJECT`: `run` measures and `summary` prints a record."""
