"""Which text of a completion is the program, and whether it passes its tests."""
