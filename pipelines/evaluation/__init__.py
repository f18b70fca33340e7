"""Evaluation: models compared on images that none of them has seen, by measures that say what they mean."""
