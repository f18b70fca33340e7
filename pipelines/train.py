"""Ray Train around the training loop: one phase, any number of workers.

The driver hands workers a task of plain values; each worker builds its networks and its share of the stream, so no
weights or handles travel. Everything durable goes through the storage door: checkpoints and the phase's output lie
under the output location, where a restarted worker, or the same command typed again, finds them.
"""

import dataclasses
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.calibration import CalibrationSpec, calibration_pairs
from pipelines.datasets.config import DataConfig
from pipelines.datasets.manifest import Manifest, read_manifest
from pipelines.loop.batches import BatchSource, to_batch
from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import LocalContext, TrainContext, average_gradients_over_workers
from pipelines.loop.loop import LoopInputs, StepListener, TrainingLoop
from pipelines.loop.panels import panel_row
from pipelines.phase_records import PhaseFolder, PhaseRecord
from pipelines.plan import StreamSpec
from pipelines.progress import Progress
from pipelines.storage import join_uri, open_store, pyarrow_filesystem
from pipelines.stream import MakeBatch, StreamInputs, local_batches, ray_stream
from pipelines.tracking.buffer import MetricBuffer
from pipelines.train_progress import (
    BoardHandle,
    board_listener,
    raise_failure,
    report_failure,
    shown_board,
    step_listener,
)
from rssr.allocator import keep_freed_memory
from rssr.errors import UserError
from rssr.methods import build_method
from rssr.methods.phase import Batch, Phase, PhaseInputs
from rssr.seeds import derive_seed


@dataclass(frozen=True)
class TrainTask:
    """One phase to train, as plain values.

    Attributes:
        method: Method name.
        method_values: Its configuration, see `Method.dump`.
        phase: Phase name.
        digests: Digest of this phase and of those it builds on, by phase name.
        home_uri: Root of everything durable, absolute.
        manifest_key: Where the manifest lies below it.
        data_values: The data configuration.
        seed: Seed of the experiment.
        num_workers: Training workers; 0 means this process, without Ray.
        num_threads: CPU threads a worker.
        num_held_out: Held-out patches a validation measures.
        calibration_values: How the evaluation prepares images, for phases that are fitted to held-out ones.
        tracking_uri: MLflow store, or None for none.
        run_id: The phase's MLflow run.
    """

    method: str
    method_values: dict[str, Any]
    phase: str
    digests: dict[str, str]
    home_uri: str
    manifest_key: str
    data_values: dict[str, Any]
    seed: int
    num_workers: int
    num_threads: int
    num_held_out: int
    tracking_uri: str | None
    run_id: str | None
    calibration_values: dict[str, Any] | None = None

    @property
    def calibration(self) -> "CalibrationSpec | None":
        """The same, for those phases alone."""
        return None if self.calibration_values is None else CalibrationSpec(**self.calibration_values)


@dataclass(frozen=True)
class WorkerResources:
    """What Ray reserves for a training worker, and how often it restarts a lost one."""

    num_cpus: float
    num_gpus: float
    max_failures: int


def train_phase(task: TrainTask, resources: WorkerResources, progress: Progress) -> PhaseRecord:
    """Train a phase to its end and return its record.

    Args:
        task: What to train.
        resources: What each worker reserves; unused where `task.num_workers` is 0.
        progress: Where the steps are shown.
    """
    if task.num_workers == 0:
        sink = _sink(task)
        try:
            _run(task, LocalContext(sink), step_listener(progress))
        finally:
            if sink is not None:
                sink.close()
    else:
        with shown_board(progress) as board:
            _train_under_ray(task, resources, board)
    record = _folder(task, task.phase).record()
    if record is None:
        raise RuntimeError(f"phase {task.phase} ended without a record")
    return record


def _train_under_ray(task: TrainTask, resources: WorkerResources, board: BoardHandle) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    scaling = ScalingConfig(
        num_workers=task.num_workers,
        use_gpu=resources.num_gpus > 0,
        resources_per_worker={"CPU": resources.num_cpus}
        | ({"GPU": resources.num_gpus} if resources.num_gpus > 0 else {}),
    )
    # Ray's own bookkeeping, on storage that all nodes reach; our checkpoints are what a run goes on from.
    home = open_store(task.home_uri)
    name = f"ray-train/{task.phase}-{uuid.uuid4().hex[:12]}"
    filesystem, path = pyarrow_filesystem(join_uri(home.uri, name))
    parent, _, leaf = path.rpartition("/")
    run_config = RunConfig(
        name=leaf,
        storage_path=parent,
        storage_filesystem=filesystem,
        failure_config=FailureConfig(max_failures=resources.max_failures),
    )
    values = {"task": asdict(task), "board": board}
    try:
        TorchTrainer(train_worker, train_loop_config=values, scaling_config=scaling, run_config=run_config).fit()
    finally:
        home.delete_prefix(name)
    raise_failure(board)


def train_worker(values: dict[str, Any]) -> None:
    """The function that Ray Train runs in every worker.

    What the user can mend is told to the driver through the board instead of raised: Ray would start the workers
    again, to no avail.
    """
    task = TrainTask(**values["task"])
    context = RayTrainContext(task)
    listener = board_listener(values["board"]) if context.rank == 0 else None
    try:
        _run(task, context, listener)
    except UserError as error:
        report_failure(values["board"], error)
    finally:
        context.close()


class RayTrainContext:
    """A worker of Ray Train."""

    def __init__(self, task: TrainTask) -> None:
        import ray.train
        import ray.train.torch

        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self._sink = _sink(task) if self.rank == 0 else None

    def average_gradients(self, parameters: Any) -> None:  # noqa: ANN401  # as in the protocol
        """All-reduce over the workers."""
        if self.world_size > 1:
            average_gradients_over_workers(parameters, self.world_size)

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """To MLflow from rank 0; validations also to Ray Train, whose report is a barrier for all workers."""
        import ray.train

        if self._sink is not None:
            self._sink.put(dict(metrics), step)
        if any(name.startswith("validation/") for name in metrics):
            ray.train.report({**metrics, "step": step})

    def agree(self, value: int) -> int:
        """Rank 0's value."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        torch.distributed.broadcast(shared, src=0)
        return int(shared)

    def close(self) -> None:
        """Deliver what is still buffered."""
        if self._sink is not None:
            self._sink.close()


def _run(task: TrainTask, context: TrainContext, on_step: StepListener | None) -> None:
    with tempfile.TemporaryDirectory(prefix="rssr-train-") as name:
        _run_in(Path(name), task, context, on_step)


def _run_in(work: Path, task: TrainTask, context: TrainContext, on_step: StepListener | None) -> None:
    torch.set_num_threads(task.num_threads)
    keep_freed_memory()
    torch.use_deterministic_algorithms(True, warn_only=True)
    home = open_store(task.home_uri)
    method = build_method(task.method, task.method_values)
    folders = {name: _folder(task, name).fetch_output(work) for name in method.needed_phases(task.phase)}
    torch.manual_seed(derive_seed(task.seed, task.phase, "initial weights"))
    phase = method.build_phase(task.phase, PhaseInputs(folders, context.device))
    data = DataConfig.model_validate(task.data_values)
    manifest = read_manifest(home, task.manifest_key)
    folder = _folder(task, task.phase)
    held_out = held_out_batches(task, phase, data, manifest)
    inputs = LoopInputs(
        phase=phase,
        batches=_batch_source(task, _training_stream(task, phase, data, manifest), context),
        held_out=held_out,
        checkpoints=CheckpointStore(folder.checkpoints, phase.config.keep_checkpoints),
        seed=task.seed,
        on_step=on_step or (lambda step, terms: None),
    )
    result = TrainingLoop(inputs, context).run()
    if context.rank != 0:
        return
    spec = task.calibration
    pairs = () if spec is None else calibration_pairs(manifest, data.degradation, task.seed, spec, data.scenes)
    validation = {**result.validation, **phase.calibrate(pairs)}
    output = work / "output"
    output.mkdir()
    phase.export(output)
    folder.store.write_bytes("panels.png", panel_row(phase, held_out, context.device, data.bands))
    folder.commit(
        output,
        num_steps=result.num_steps,
        validation=validation,
        losses=result.history.losses,
        validations=result.history.validations,
    )


def _training_stream(task: TrainTask, phase: Phase, data: DataConfig, manifest: Manifest) -> StreamInputs:
    config = phase.config
    return StreamInputs(
        images=manifest.images_of_phase(config, data.scale_range[1])[0],
        sources=manifest.sources,
        spec=StreamSpec(
            seed=derive_seed(task.seed, task.phase, "stream"),
            num_steps=config.num_steps,
            micro_batches_per_step=config.micro_batches_per_step,
            global_batch_size=config.batch_size * max(task.num_workers, 1),
            patch_size=config.patch_size,
            scale_range=data.scale_range,
            rotations=config.rotations,
            lr_patch_size=config.lr_patch_size,
            scales=data.scales if task.calibration is None else tuple(task.calibration.scales),
        ),
        degradation=data.degradation,
        max_cached_bytes=data.max_cached_bytes,
        scenes=data.scenes,
    )


def held_out_batches(task: TrainTask, phase: Phase, data: DataConfig, manifest: Manifest) -> list[Batch]:
    """Fixed patches of images that the phase never learns from, degraded and grouped like the training ones.

    A range of scales is represented by a few: each has its share of the patches, and shows the same places.
    """
    stream = _training_stream(task, phase, data, manifest)
    num_patches = -(-task.num_held_out // len(data.test_scales))
    batch_size = min(phase.config.batch_size, num_patches)
    spec = dataclasses.replace(
        stream.spec,
        seed=derive_seed(task.seed, "held out"),
        num_steps=-(-num_patches // batch_size),
        micro_batches_per_step=1,
        global_batch_size=batch_size,
        flips=False,
        rotations=False,
        lr_patch_size=None,
        scales=None,
    )
    inputs = dataclasses.replace(stream, images=manifest.images_of_phase(phase.config, data.scale_range[1])[1])
    batches: list[Batch] = []
    for scale in data.test_scales:
        at_scale = dataclasses.replace(spec, scale_range=(scale, scale))
        make = MakeBatch(dataclasses.replace(inputs, spec=at_scale), rank=0, world_size=1)
        batches += [to_batch(make(number), torch.device("cpu")) for number in range(spec.num_steps)]
    return batches


def _batch_source(task: TrainTask, stream: StreamInputs, context: TrainContext) -> BatchSource:
    if task.num_workers == 0:
        return lambda start_step: local_batches(stream, start_step)
    return lambda start_step: ray_stream(stream, start_step, context.rank, context.world_size)


def _folder(task: TrainTask, phase: str) -> PhaseFolder:
    return PhaseFolder(open_store(task.home_uri), phase, task.digests[phase])


def _sink(task: TrainTask) -> MetricBuffer | None:
    if task.tracking_uri is None or task.run_id is None:
        return None
    return MetricBuffer(task.tracking_uri, task.run_id)
