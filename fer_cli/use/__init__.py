"""Trained networks in use: faces found in pictures and videos, prepared as in training, and recognised."""
