"""Samplers other than the embedded one, and what they share; `opening` gives the one that the settings name."""
