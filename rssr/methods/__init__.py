"""The published methods, one folder a paper. Methods never import one another."""
