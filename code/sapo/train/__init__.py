"""Pairs, losses and trainers."""
