"""Samplers: the embedded engine, vLLM, Ray and HTTP servers behind one protocol."""
