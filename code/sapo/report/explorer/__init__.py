"""One self-contained page to walk through the trajectories of a run."""
