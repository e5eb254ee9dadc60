"""Audit of published tables: what a paper prints, as data (``schema``), and the arithmetic it must satisfy (``audit``)."""
