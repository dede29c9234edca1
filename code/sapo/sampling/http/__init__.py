"""Completions from OpenAI-compatible servers: requests, retries, pacing, stored answers."""
