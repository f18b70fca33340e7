"""Ray Train around the training loop: one phase, any number of workers.

The driver hands workers a task of plain values; each worker builds its networks and its share of the stream, so no
weights or handles travel. Everything durable goes through the storage door: checkpoints and the phase's output lie
under the output location, where a restarted worker, or the same command typed again, finds them.
"""

from pipelines.train.task import TrainTask, WorkerResources
from pipelines.train.trainer import train_phase

__all__ = ["TrainTask", "WorkerResources", "train_phase"]
