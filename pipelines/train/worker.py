"""What runs in a training process."""

import dataclasses
import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.calibration import calibration_pairs
from pipelines.datasets.config import DataConfig
from pipelines.datasets.manifest import read_manifest
from pipelines.gauges import TrainingGauges
from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import Image, LocalContext, MetricSink, TrainContext, means_of_values
from pipelines.loop.loop import LoopInputs, StepListener, TrainingLoop
from pipelines.loop.panels import panel_image
from pipelines.storage import open_store
from pipelines.tracking.system_metrics import SystemMetrics
from pipelines.train.progress import board_listener, has_failed, report_failure
from pipelines.train.sinks import DistantSink
from pipelines.train.streams import batch_source, held_out_batches, training_stream
from pipelines.train.task import TrainTask
from rssr.allocator import keep_freed_memory
from rssr.errors import TrainingDiverged, UserError
from rssr.images import encode_png
from rssr.methods import build_method
from rssr.methods.method import Method
from rssr.methods.phase import Phase, PhaseInputs
from rssr.seeds import derive_seed

_NOTICE_INTERVAL_S = 5.0  # asking for a notice is a barrier for all workers


def train_worker(values: dict[str, Any]) -> None:
    """The function that Ray Train runs in every worker.

    What starting again would not mend, the driver is told of through the board. Raised as well, it ends the other
    workers, who wait for this one; those that Ray starts then see the board and leave.

    Args:
        values: `task` and the handles `board`, `buffer` (or None) and `driver_node`.
    """
    board = values["board"]
    if has_failed(board):
        return
    task = TrainTask(**values["task"])
    sink = None if values["buffer"] is None else DistantSink(values["buffer"])
    gauges = TrainingGauges(task.method, task.phase, task.run_id or "")
    context = RayTrainContext(sink, gauges)
    listener = board_listener(board) if context.rank == 0 else None
    monitor = _node_monitor(task, sink, values["driver_node"])
    open_store(task.home_uri).expect_answers()  # the driver has reached it
    try:
        run_task(task, context, listener)
    except (UserError, TrainingDiverged) as error:
        report_failure(board, error)
        if context.world_size > 1:
            raise
    finally:
        if monitor is not None:
            monitor.close()


class RayTrainContext:
    """A worker of Ray Train.

    Args:
        sink: Where rank 0's metrics and pictures go, if anywhere.
        gauges: Where its metrics are shown while it runs.
    """

    def __init__(self, sink: MetricSink | None, gauges: TrainingGauges) -> None:
        import ray.train
        import ray.train.torch

        context = ray.train.get_context()
        self.rank: int = context.get_world_rank()
        self.world_size: int = context.get_world_size()
        self.device: torch.device = ray.train.torch.get_device()
        self._sink = sink if self.rank == 0 else None
        self._gauges = gauges if self.rank == 0 else None
        self._asked_s = 0.0

    def mean(self, values: Sequence[float]) -> list[float]:
        """See `TrainContext.mean`."""
        return means_of_values(values, self.device)

    def report(self, metrics: Mapping[str, float], step: int) -> None:
        """To the sink from rank 0; validations also to Ray Train, whose report is a barrier for all workers."""
        import ray.train

        if self._sink is not None:
            self._sink.put(dict(metrics), step)
        if self._gauges is not None:
            self._gauges.show(metrics, step)
        if any(name.startswith("validation/") for name in metrics):
            ray.train.report({**metrics, "step": step})

    def show(self, image: Image, step: int) -> None:
        """To the sink."""
        if self._sink is not None:
            self._sink.put_image("panels", image, step)

    def is_due_to_end(self, elapsed_s: float) -> bool:
        """Whether Ray has been told that a node will be drained, e.g. a spot instance; asked every few seconds."""
        import ray.train

        if elapsed_s - self._asked_s < _NOTICE_INTERVAL_S:
            return False
        self._asked_s = elapsed_s
        return ray.train.get_preemption_info() is not None

    def end_if_told(self) -> None:
        """Go on: Ray ends the workers when the node goes, and starts others."""

    def agree(self, value: int) -> int:
        """Rank 0's value."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        torch.distributed.broadcast(shared, src=0)
        return int(shared)


def run_task(task: TrainTask, context: TrainContext, on_step: StepListener | None) -> None:
    """Train a phase to its end in this process; rank 0 leaves its output and record."""
    with tempfile.TemporaryDirectory(prefix="rssr-train-") as name:
        _run_in(Path(name), task, context, on_step)


def _run_in(work: Path, task: TrainTask, context: TrainContext, on_step: StepListener | None) -> None:
    torch.set_num_threads(task.num_threads)
    keep_freed_memory()
    home = open_store(task.home_uri)
    method = build_method(task.method, task.method_values)
    config = method.training_config(task.phase)
    torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    folders = {name: task.folder(name).fetch_output(work) for name in method.needed_phases(task.phase)}
    inputs = PhaseInputs(folders, context.device)
    phase = _build(method, task, inputs)
    data = DataConfig.model_validate(task.data_values)
    manifest = read_manifest(home, task.manifest_key)
    folder = task.folder(task.phase)
    held_out = held_out_batches(task, phase, data, manifest)
    loop_inputs = LoopInputs(
        phase=phase,
        batches=batch_source(task, training_stream(task, phase, data, manifest), context),
        held_out=held_out,
        checkpoints=CheckpointStore(folder.checkpoints, config.keep_checkpoints, config.best_by),
        seed=task.seed,
        num_shares=task.num_shares,
        batch_size_counts=task.batch_size_counts,
        on_step=on_step or (lambda step, terms: None),
        bands=data.bands,
    )
    result = TrainingLoop(loop_inputs, context).run()
    if context.rank != 0:
        return
    if config.parallelism == "shards":  # this process holds pieces; the last checkpoint holds the whole
        phase = _build(method, task, inputs)
        TrainingLoop(dataclasses.replace(loop_inputs, phase=phase), LocalContext(device=context.device)).run()
    spec = task.calibration
    pairs = () if spec is None else calibration_pairs(manifest, data.degradation, task.seed, spec, data.scenes)
    validation = {**result.validation, **phase.calibrate(pairs)}
    output = work / "output"
    output.mkdir()
    phase.export(output)
    folder.store.write_bytes("panels.png", encode_png(panel_image(phase, held_out, context.device, data.bands)))
    folder.commit(
        output,
        num_steps=result.num_steps,
        validation=validation,
        losses=result.history.losses,
        validations=result.history.validations,
    )


def _build(method: Method, task: TrainTask, inputs: PhaseInputs) -> Phase:
    torch.manual_seed(derive_seed(task.seed, task.phase, "initial weights"))
    return method.build_phase(task.phase, inputs)


def _node_monitor(task: TrainTask, sink: MetricSink | None, driver_node: str) -> SystemMetrics | None:
    """Samples the use of this node, where the driver does not and no other worker of the node does."""
    import ray
    import ray.train

    is_first_here = ray.train.get_context().get_local_rank() == 0
    is_elsewhere = ray.get_runtime_context().get_node_id() != driver_node
    if sink is None or task.system_metrics_interval_s is None or not (is_first_here and is_elsewhere):
        return None
    return SystemMetrics(sink.put, task.system_metrics_interval_s, task.run_started_s, node=socket.gethostname())
