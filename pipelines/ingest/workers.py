"""Make many shards: one after the other in this process, or side by side as Ray tasks."""

from collections.abc import Sequence

from pipelines.ingest.planning import ShardTask
from pipelines.ingest.shard_writer import Making, make_shard
from pipelines.progress import Progress

_MAX_RETRIES = 3  # of a task whose process or machine died; what was written is written again


def make_shards(tasks: Sequence[ShardTask], making: Making, num_workers: int) -> None:
    """Make all shards. Those that are whole when something fails stay.

    Args:
        tasks: The shards.
        making: From where to where.
        num_workers: Ray tasks at a time; 0 needs no Ray.

    Raises:
        DataError: An image changed while it was read.
        StorageError: A store fails, as opposed to one image.
    """
    total = sum(len(task.images) for task in tasks)
    with Progress("ingesting images", total) as progress:
        if num_workers == 0:
            _make_here(tasks, making, progress)
        else:
            _make_on_ray(tasks, making, num_workers, progress)


def _make_here(tasks: Sequence[ShardTask], making: Making, progress: Progress) -> None:
    done = 0
    for number, task in enumerate(tasks, 1):
        note = f"shard {number} of {len(tasks)}"
        before = done
        make_shard(task, making, lambda count: progress.update(before + count, note=note))  # noqa: B023  # called at once
        done += len(task.images)


def _make_on_ray(tasks: Sequence[ShardTask], making: Making, num_workers: int, progress: Progress) -> None:
    import ray

    remote = ray.remote(make_shard).options(num_cpus=1, max_retries=_MAX_RETRIES)
    shared = ray.put(making)
    waiting = list(reversed(tasks))
    running: dict[ray.ObjectRef, ShardTask] = {}
    done = 0
    while waiting or running:
        while waiting and len(running) < num_workers:
            task = waiting.pop()
            running[remote.remote(task, shared)] = task
        finished, _ = ray.wait(list(running), num_returns=1)
        for reference in finished:
            ray.get(reference)
            done += len(running.pop(reference).images)
            progress.update(done, note=f"{len(waiting) + len(running)} shards left")
