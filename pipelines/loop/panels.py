"""Pictures of what a phase does: LR, its image and HR side by side, for held-out patches."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from pipelines.loop.context import Image
from pipelines.stages.stretch import display_order
from rssr.images import from_network
from rssr.methods.phase import Batch, Phase
from rssr.resampling import upsample_bicubic

_MAX_PATCHES = 4
_GAP = 4


@torch.no_grad()
def panel_image(
    phase: Phase, held_out: Sequence[Batch], device: torch.device, bands: Sequence[str] = ("red", "green", "blue")
) -> Image:
    """One row a patch: LR | bicubic | the phase's image | HR, in red, green and blue of the bands; uint8 [H, W, 3].

    Where the batches are of several scales, each scale has its share of the rows, in order.
    """
    for objective in phase.objectives().values():
        objective.eval()
    first: dict[float, Batch] = {}
    for batch in held_out:
        first.setdefault(batch.scale, batch)
    share = max(1, _MAX_PATCHES // len(first))
    order = display_order(bands)
    rows = [row for batch in first.values() for row in _rows(phase, batch.to(device), share, order)]
    return _join(rows, axis=0)


def _rows(phase: Phase, batch: Batch, num_rows: int, order: tuple[int, int, int]) -> list[np.ndarray]:
    batch = Batch(batch.lr[:num_rows], batch.hr[:num_rows], batch.scale)
    size = (batch.hr.shape[-2], batch.hr.shape[-1])
    columns = (
        F.interpolate(batch.lr, size, mode="nearest"),
        upsample_bicubic(batch.lr, size),
        phase.preview(batch),
        batch.hr,
    )
    num_bands = batch.hr.shape[1]
    shown = [column[:, list(order)] if column.shape[1] == num_bands else column for column in columns]
    images = [from_network(column.clamp(-1, 1).cpu()) for column in shown]
    return [_join([column[number] for column in images], axis=1) for number in range(len(images[0]))]


def _join(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(images[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, dtype=np.uint8)
    parts = [part for image in images for part in (gap, image)][1:]
    return np.concatenate(parts, axis=axis)
