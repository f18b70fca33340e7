"""Whole archives: find scenes, plan windows, compute them anywhere, commit each product once, and prove it."""
