"""Trained networks in use."""
