"""From what is given as input to scenes that are named and can be opened."""
