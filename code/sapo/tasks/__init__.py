"""Benchmarks: load, prompt, split into steps, grade; embedded ones also write questions and know the truth."""
