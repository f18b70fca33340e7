"""What can be told of a bulk run before a scene is looked for."""

from pipelines.bulk.config import BulkConfig
from pipelines.cluster import require_durable_output, require_room
from pipelines.storage import open_store
from pipelines.storage.store import probe_key
from rssr.errors import ConfigError


def check_config(config: BulkConfig) -> None:
    """Refuse at once what would otherwise fail after hours, or wait for ever.

    Raises:
        ConfigError: Keys contradict one another, or there is no room for so many workers.
        StorageError: The output cannot be written to.
    """
    require_durable_output(config.output.uri)
    if config.verify_only and (config.fresh or config.retry_failed):
        raise ConfigError(
            "verify_only=true computes nothing, but fresh or retry_failed asks for that.",
            "Leave one of them out.",
        )
    if config.verify_only and not config.verify:
        raise ConfigError("verify_only=true contradicts verify=false.", "Leave one of them out.")
    _check_room(config)
    output, probe = open_store(config.output.uri), probe_key()
    output.write_bytes(probe, b"")
    output.delete(probe)


def _check_room(config: BulkConfig) -> None:
    try:
        require_room(config.ray, config.num_workers, config.worker.num_cpus, config.worker.num_gpus)
    except ConfigError as error:
        raise ConfigError(
            error.problem,
            "Lower num_workers or what a worker reserves (worker.num_cpus, worker.num_gpus), or give the ray.address "
            "of a larger cluster. num_workers=0 works in this process.",
        ) from None
