"""Training: losses, relabelling, the Lightning module and ``train_run``."""
