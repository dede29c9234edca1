"""Judging answers of maths completions: extraction, numbers, LaTeX."""
