"""What the student's learned queries look at, as in Fig. 16 of the paper."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rssr.layers.attention import QueryGlobalAggregation
from rssr.layers.resampling import pad_to_multiple
from rssr.layers.transformer import TransformerBlock
from rssr.methods.figures import Figure, FigureRow, HeldOutImage, Picture
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.teacher_pictures import picture_of, values_of
from rssr.resampling import upsample_bicubic
from rssr.value_map import ValueMap

_MAX_QUERIES = 5


@dataclass(frozen=True, eq=False)
class QueryAttention:
    """Attention of one block's queries in one pass.

    Attributes:
        weights: [B, num_queries, h, w]; those of a query sum to one.
        share: Share of the image that a query effectively looks at, [B, num_queries] in (0, 1]: the number of equally
            weighted positions with the same entropy, over all positions.
    """

    weights: Tensor
    share: Tensor


@torch.no_grad()
def query_attention(student: SlimDiffSR, upsampled: Tensor) -> dict[str, QueryAttention]:
    """Attention of every query-driven block, by the block's name within the U-Net; empty where there is none.

    Args:
        student: Left as it is.
        upsampled: Enlarged LR images, padded here to what the student takes, so that their maps include the padding.
    """
    found: dict[str, QueryAttention] = {}
    with ExitStack() as hooks:
        for name, block in student.unet.named_modules():
            if isinstance(block, TransformerBlock):
                hooks.enter_context(_watched(name, block, found))
        student.forward_features(pad_to_multiple(upsampled, student.stride))
    return found


@contextmanager
def _watched(name: str, block: TransformerBlock, found: dict[str, QueryAttention]) -> Iterator[None]:
    """Note what the queries of a block take from the tokens that pass while this is open."""
    sizes: list[tuple[int, int]] = []

    def note_size(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sizes.append((inputs[0].shape[2], inputs[0].shape[3]))

    def note_weights(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, QueryGlobalAggregation):
            weights = module.collecting_weights(inputs[0])
            entropy = -torch.xlogy(weights, weights).sum(dim=-1)
            share = entropy.exp() / weights.shape[-1]
            found[name] = QueryAttention(weights.reshape(*share.shape, *sizes[-1]), share)

    handles = [block.register_forward_pre_hook(note_size)]
    handles += [module.register_forward_pre_hook(note_weights) for module in block.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def draw_attention(student: SlimDiffSR, images: Sequence[HeldOutImage]) -> Figure | None:
    """The most selective queries of the most selective block; None for a student without learned queries."""
    upsampled = [upsample_bicubic(image.pair.lr, tuple(image.pair.hr.shape[-2:])) for image in images]
    passes = [query_attention(student, one) for one in upsampled]
    if not passes[0]:
        return None
    shares = {name: torch.cat([run[name].share for run in passes]).mean(dim=0) for name in passes[0]}
    block = min(shares, key=lambda name: float(shares[name].mean()))
    queries = shares[block].argsort(stable=True)[:_MAX_QUERIES].tolist()
    maps = [run[block].weights * run[block].weights[0, 0].numel() for run in passes]
    rows = []
    for image, weights in zip(images, maps, strict=True):
        pictures: dict[str, Picture] = {"HR": picture_of(image.pair.hr)}
        for query in queries:
            pictures[f"query {query}"] = ValueMap(values_of(weights[:, [query]]), "")
        rows.append(FigureRow(image.key, pictures))
    return Figure("Attention of the learned queries", _describe(block, shares[block], queries), rows)


def _describe(block: str, shares: Tensor, queries: Sequence[int]) -> str:
    shown = ", ".join(f"{float(shares[query]):.0%}" for query in queries)
    return (
        f"How much each learned query takes from each place (QGAM, Fig. 16 of the paper), in the block `{block}` of "
        f"the student's U-Net, whose queries are the most selective; of its {len(shares)} queries those that look at "
        f"the smallest part of the image. A weight of 1 is an even share; each map has its own colour scale. They look "
        f"at {shown} of the image, and all at {float(shares.mean()):.0%} on average: the nearer to 100 %, the less a "
        "query distinguishes, whatever its colours suggest."
    )
