"""The methods of both papers: one loop, its rewards and its updates."""
