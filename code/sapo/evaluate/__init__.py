"""Measuring checkpoints, labels and verifiers."""
