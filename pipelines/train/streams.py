"""The images that a phase learns from, and those it is validated on."""

import dataclasses

import torch

from pipelines.datasets.config import DataConfig
from pipelines.datasets.manifest import Manifest
from pipelines.loop.batches import BatchSource, to_batch
from pipelines.loop.context import TrainContext
from pipelines.plan import StreamSpec
from pipelines.stream import MakeBatch, StreamInputs, local_batches, ray_stream
from pipelines.train.task import TrainTask
from rssr.methods.phase import Batch, Phase
from rssr.seeds import derive_seed


def training_stream(task: TrainTask, phase: Phase, data: DataConfig, manifest: Manifest) -> StreamInputs:
    """The stream of a phase, for any number of workers."""
    config = phase.config
    return StreamInputs(
        images=manifest.images_of_phase(config, data.scale_range[1])[0],
        sources=manifest.sources,
        spec=StreamSpec(
            seed=derive_seed(task.seed, task.phase, "stream"),
            num_steps=config.num_steps,
            micro_batches_per_step=config.micro_batches_per_step,
            global_batch_size=config.batch_size * task.num_shares,
            samples_per_share=config.batch_size,
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


def batch_source(task: TrainTask, stream: StreamInputs, context: TrainContext) -> BatchSource:
    """This process's part of the stream, from any step on."""
    if task.is_in_process:
        return lambda start_step: local_batches(stream, start_step)
    return lambda start_step: ray_stream(stream, start_step, context.rank, context.world_size)


def held_out_batches(task: TrainTask, phase: Phase, data: DataConfig, manifest: Manifest) -> list[Batch]:
    """Fixed patches of images that the phase never learns from, degraded and grouped like the training ones.

    A range of scales is represented by a few: each has its share of the patches, and shows the same places.
    """
    stream = training_stream(task, phase, data, manifest)
    num_patches = -(-task.num_held_out // len(data.test_scales))
    batch_size = min(phase.config.batch_size, num_patches)
    spec = dataclasses.replace(
        stream.spec,
        seed=derive_seed(task.seed, "held out"),
        num_steps=-(-num_patches // batch_size),
        micro_batches_per_step=1,
        global_batch_size=batch_size,
        samples_per_share=None,
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
