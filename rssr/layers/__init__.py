"""Building blocks of the networks: one idea a file, plain PyTorch, no other dependency."""
