"""Leases on any store: one holder at a time, and one that knows when it holds nothing any more."""
