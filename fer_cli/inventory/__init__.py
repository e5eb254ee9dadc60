"""Runs in hand: list, show, compare, rerun, remove and restore them, and rebuild their mirror, from run folders alone."""
