"""What a round does with rewarded trajectories: one file for each way to train the reasoner."""
