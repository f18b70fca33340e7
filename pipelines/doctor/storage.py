"""The object store that jobs shall write to: reached, written to, read, and what it enforces."""

import secrets

from pipelines.doctor.web import ask
from pipelines.storage import StorageSettings, is_local, open_store
from pipelines.storage.store import Store, probe_key
from rssr.doctor import DoctorOptions, Finding, failed, ok, skipped, warning

_NAME = "storage"


def check_storage(options: DoctorOptions) -> Finding:
    """Write a small object, read it, and remove it; without a place to write to, only ask the endpoint."""
    settings = StorageSettings.from_environment()
    uri = options.output_uri
    if settings.endpoint_url is not None:
        ask(settings.endpoint_url, "The S3 server")  # so that one that is not there is told within seconds
    if uri is not None and not is_local(uri):
        return _try_store(open_store(uri, settings), settings)
    if settings.endpoint_url is not None:
        return ok(_NAME, f"{settings.endpoint_url} answers; give --output s3://BUCKET/PREFIX to have it written to")
    return skipped(
        _NAME,
        "no object store is set",
        "Give --output s3://BUCKET/PREFIX to look at one (and AWS_ENDPOINT_URL_S3 where it is not AWS's).",
    )


def _try_store(store: Store, settings: StorageSettings) -> Finding:
    server = settings.endpoint_url or "its own server"
    key, content = probe_key(), secrets.token_bytes(64)
    store.write_bytes(key, content)
    try:
        read = store.read_bytes(key)
    finally:
        store.delete(key)
    if read != content:
        return failed(_NAME, f"{store.uri} gives back other bytes than were written", "Look for a cache before it.")
    where = f"{store.uri} on {server} is written to and read"
    if store.enforces_conditional_put():
        return ok(_NAME, f"{where}; it refuses to overwrite where it is told to")
    return warning(
        _NAME,
        f"{where}, but it ignores conditional puts: two jobs that write to one output at once are kept apart by leases "
        "alone",
        "Run one job at a time for one output, or take a store that heeds them.",
    )
