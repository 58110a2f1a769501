"""Benchmarks, one file a subject: `vitae bench transforms`, `vitae bench data`. Each writes one record for the book."""
