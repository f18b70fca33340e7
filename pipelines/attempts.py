"""How often a job of one configuration was started afresh."""

from pipelines.storage import Store


def attempt_number(home: Store, key: str, fresh: bool) -> int:
    """The number of the attempt, counted in the output; part of the key of the job's MLflow run.

    Args:
        home: Root of everything durable.
        key: Digest of what the job is configured by.
        fresh: Whether this one starts over.
    """
    name = f"runs/{key[:24]}.attempts"
    attempt = int(home.read_bytes(name)) if home.exists(name) else 0
    if fresh:
        attempt += 1
        home.write_bytes(name, str(attempt).encode())
    return attempt
