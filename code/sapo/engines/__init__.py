"""Samplers other than the embedded one: vLLM, a server, Ray actors. `opening` opens the one that the settings name."""
