"""Training losses as pure functions and small modules, each with its equation."""
