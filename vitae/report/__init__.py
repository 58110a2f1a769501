"""From records to what readers see: statistics over seeds, tables, figures, claims with verdicts, and benchmarks."""
