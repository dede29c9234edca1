"""Intervals, tables and figures."""
