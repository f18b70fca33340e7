"""Pictures of what a phase does: LR, its image and HR side by side, for held-out patches."""

from collections.abc import Sequence

import numpy as np
import torch

from rssr.images import encode_png, from_network
from rssr.methods.phase import Batch, Phase
from rssr.resampling import upsample_bicubic

_MAX_PATCHES = 4
_GAP = 4


@torch.no_grad()
def panel_row(phase: Phase, held_out: Sequence[Batch], device: torch.device) -> bytes:
    """A PNG with one row a patch: bicubic LR | the phase's image | HR."""
    for objective in phase.objectives().values():
        objective.eval()
    batch = held_out[0].to(device)
    batch = Batch(batch.lr[:_MAX_PATCHES], batch.hr[:_MAX_PATCHES], batch.scale)
    columns = (
        upsample_bicubic(batch.lr, (batch.hr.shape[-2], batch.hr.shape[-1])),
        phase.preview(batch),
        batch.hr,
    )
    images = [from_network(column.clamp(-1, 1).cpu()) for column in columns]
    rows = [_join([column[number] for column in images], axis=1) for number in range(len(images[0]))]
    return encode_png(_join(rows, axis=0))


def _join(images: Sequence[np.ndarray], axis: int) -> np.ndarray:
    shape = list(images[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, dtype=np.uint8)
    parts = [part for image in images for part in (gap, image)][1:]
    return np.concatenate(parts, axis=axis)
