"""A replication of SAPO (AAAI 2026) and SIPF (COLING 2025): process supervision for small reasoners."""
