"""What the papers claim, held against our results and against the papers' own numbers."""
