"""Process benchmarks: verifiers by round, their gap to the reasoner, labels and rewards beside the truth, best of N."""
