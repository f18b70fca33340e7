"""Noise mathematics as pure functions, each beside its equation number."""
