"""Loading reasoners, sampling from them, scoring steps with verifiers, counting FLOPs."""
