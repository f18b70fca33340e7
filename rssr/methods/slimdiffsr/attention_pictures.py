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
_EDGE = 8  # share of a side that counts as its edge: one in so many


@dataclass(frozen=True, eq=False)
class QueryAttention:
    """Attention of one block's queries in one pass.

    Attributes:
        weights: [B, num_queries, h, w]; those of a query sum to one.
    """

    weights: Tensor

    @property
    def multiples(self) -> Tensor:
        """The weights in multiples of an even share, [B, num_queries, h, w]."""
        return self.weights * (self.weights.shape[2] * self.weights.shape[3])

    @property
    def inner(self) -> Tensor:
        """Those without the edges, where queries answer to the padding of convolutions more than to the image."""
        rows, columns = (side // _EDGE for side in self.weights.shape[2:])
        height, width = self.weights.shape[2:]
        return self.multiples[:, :, rows : height - rows, columns : width - columns]

    @property
    def share(self) -> Tensor:
        """Share of the image, without its edges, that a query effectively looks at, [B, num_queries] in (0, 1].

        The number of equally weighted positions with the same entropy, over all positions.
        """
        inner = self.inner.flatten(2)
        inner = inner / inner.sum(dim=-1, keepdim=True)
        return (-torch.xlogy(inner, inner).sum(dim=-1)).exp() / inner.shape[-1]


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
            found[name] = QueryAttention(weights.reshape(*weights.shape[:2], *sizes[-1]))

    handles = [block.register_forward_pre_hook(note_size)]
    handles += [module.register_forward_pre_hook(note_weights) for module in block.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def draw_attention(student: SlimDiffSR, images: Sequence[HeldOutImage]) -> Figure | None:
    """Some queries of the most selective block; None for a student without learned queries."""
    upsampled = [upsample_bicubic(image.pair.lr, tuple(image.pair.hr.shape[-2:])) for image in images]
    passes = [query_attention(student, one) for one in upsampled]
    if not passes[0]:
        return None
    shares = {name: torch.cat([run[name].share for run in passes]).mean(dim=0) for name in passes[0]}
    block = min(shares, key=lambda name: float(shares[name].mean()))
    chosen = [run[block] for run in passes]
    queries = unlike_queries(chosen)
    rows = [
        FigureRow(image.key, {"HR": picture_of(image.pair.hr), **_maps(attention, queries)})
        for image, attention in zip(images, chosen, strict=True)
    ]
    return Figure("Attention of the learned queries", _describe(block, shares[block], queries), rows)


def unlike_queries(passes: Sequence[QueryAttention], most: int = _MAX_QUERIES) -> list[int]:
    """The most selective query, then at each turn the one least like any before: the smallest highest correlation."""
    patterns = torch.cat([attention.inner[0].flatten(1) for attention in passes], dim=1)
    likeness = torch.corrcoef(patterns).nan_to_num(1.0)  # an even query is like any other
    chosen = [int(torch.cat([attention.share for attention in passes]).mean(dim=0).argmin())]
    while len(chosen) < min(most, len(patterns)):
        closest = likeness[:, chosen].amax(dim=1)
        closest[chosen] = torch.inf
        chosen.append(int(closest.argmin()))
    return chosen


def _maps(attention: QueryAttention, queries: Sequence[int]) -> dict[str, Picture]:
    maps: dict[str, Picture] = {}
    for query in queries:
        inner = attention.inner[0, query]
        limits = float(inner.min()), float(inner.max())
        maps[f"query {query}"] = ValueMap(values_of(attention.multiples[:, [query]]), "", limits)
    return maps


def _describe(block: str, shares: Tensor, queries: Sequence[int]) -> str:
    shown = ", ".join(f"{float(shares[query]):.1%}" for query in queries)
    return (
        f"How much a learned query takes from each place (QGAM, Fig. 16 of the paper), in the block `{block}` of the "
        f"student's U-Net, whose queries are the most selective. Of its {len(shares)} queries: first the most "
        "selective, then those least like the ones before. A weight of 1 is an even share; each map has its own "
        "colour scale.\n\n"
        f"In this order they look at {shown} of the image, and all queries at {float(shares.mean()):.1%} on average: "
        "the nearer to 100%, the less a query distinguishes, whatever its colours suggest. An eighth at each edge, "
        "where queries answer to the padding of convolutions, counts neither here nor in the colour scales."
    )
