"""The one training loop: in one process without Ray, and under Ray Train."""
