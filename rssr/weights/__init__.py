"""Weights: our model folders, the papers' published checkpoints, and pretrained base networks."""
