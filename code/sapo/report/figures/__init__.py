"""Figures, one module a family; each function turns `drawing.Findings` into a figure and the numbers that it shows."""
