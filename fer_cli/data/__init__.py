"""Data sets: cards, importers, built sets, splits, planted noise and batches."""
