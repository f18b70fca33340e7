"""The driver's side: start the workers, show what they do, and fetch the record."""

import uuid
from dataclasses import asdict

import torch

from pipelines.loop.context import LocalContext, termination_noted
from pipelines.phase_records import PhaseRecord
from pipelines.progress import Progress
from pipelines.storage import join_uri, open_store, ray_filesystem
from pipelines.train.progress import BoardHandle, raise_failure, shown_board, step_listener
from pipelines.train.sinks import BufferHandle, driver_buffer, local_buffer
from pipelines.train.task import TrainTask, WorkerResources
from pipelines.train.worker import run_task, train_worker
from rssr.errors import OutOfMemory


def train_phase(task: TrainTask, resources: WorkerResources, progress: Progress) -> PhaseRecord:
    """Train a phase to its end and return its record.

    Args:
        task: What to train.
        resources: What each worker reserves; this process takes a GPU where a worker would.
        progress: Where the steps are shown.
    """
    if task.is_in_process:
        with local_buffer(task) as sink, termination_noted() as told_to_end:
            device = torch.device("cuda" if resources.num_gpus > 0 else "cpu")
            run_task(task, LocalContext(sink, device, told_to_end), step_listener(progress))
    else:
        with shown_board(progress) as board, driver_buffer(task) as buffer:
            _train_under_ray(task, resources, board, buffer)
    record = task.folder(task.phase).record()
    if record is None:
        raise RuntimeError(f"phase {task.phase} ended without a record")
    return record


def _train_under_ray(
    task: TrainTask, resources: WorkerResources, board: BoardHandle, buffer: BufferHandle | None
) -> None:
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchTrainer

    fewest, most = task.workers
    scaling = ScalingConfig(
        num_workers=most if fewest == most else (fewest, most),
        use_gpu=resources.num_gpus > 0,
        resources_per_worker={"CPU": resources.num_cpus}
        | ({"GPU": resources.num_gpus} if resources.num_gpus > 0 else {}),
    )
    # Ray's own bookkeeping, on storage that all nodes reach; our checkpoints are what a run goes on from.
    home = open_store(task.home_uri)
    name = f"ray-train/{task.phase}-{uuid.uuid4().hex[:12]}"
    filesystem, path = ray_filesystem(join_uri(home.uri, name))
    parent, _, leaf = path.rpartition("/")
    run_config = RunConfig(
        name=leaf,
        storage_path=parent,
        storage_filesystem=filesystem,
        failure_config=FailureConfig(max_failures=resources.max_failures),
    )
    here = ray.get_runtime_context().get_node_id()
    values = {"task": asdict(task), "board": board, "buffer": buffer, "driver_node": here}
    try:
        TorchTrainer(train_worker, train_loop_config=values, scaling_config=scaling, run_config=run_config).fit()
    except TrainingFailedError as error:
        raise_failure(board)
        if memory_ran_out(error):
            raise OutOfMemory(
                f"Phase {task.phase}: the memory of a machine ran out, and Ray ended the workers on it.",
                "End other programs there, or lower the phase's batch_size or num_workers, or raise worker.num_cpus so "
                "that fewer workers share a machine. The same command goes on from the last checkpoint.",
            ) from None
        raise
    finally:
        home.delete_prefix(name)
    raise_failure(board)


def memory_ran_out(error: BaseException | None) -> bool:
    """Whether Ray ended processes because a machine's memory ran out, however deep that lies in what it raised."""
    from ray.exceptions import OutOfMemoryError

    if error is None or isinstance(error, OutOfMemoryError):
        return error is not None
    inner = [
        error.__cause__,
        getattr(error, "controller_failure", None),
        *getattr(error, "worker_failures", {}).values(),
    ]
    return any(memory_ran_out(each) for each in inner)
