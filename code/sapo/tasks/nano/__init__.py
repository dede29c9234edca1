"""Embedded tasks: generated questions whose every reasoning step can be judged exactly."""
