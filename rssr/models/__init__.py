"""Networks that more than one method can use, and the table of all models by name."""
