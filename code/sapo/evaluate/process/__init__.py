"""Process benchmarks: trajectories whose first wrong step is known, to judge verifiers by."""
