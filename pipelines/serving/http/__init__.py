"""Routes, middleware and error answers: the door to FastAPI."""
