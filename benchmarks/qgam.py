"""Time and memory of query-driven aggregation (QGAM) against the number of latent positions.

At the published width of 320 channels, 32 x 32 to 256 x 256 positions (images of 256 x 256 to 2048 x 2048 pixels).
Beside it the self-attention that it replaces, up to 128 x 128: its time grows with the square. All sizes are timed in
turn. Asserts nothing; that nothing grows faster than the positions is counted exactly in
tests/rssr/layers/test_attention_cost.py.

Run: python benchmarks/qgam.py [--device cpu] [--repeats 7]
"""

import argparse
import copy
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

if not __package__:  # started as a file, perhaps where rssr is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.live_bytes import LiveBytes
from benchmarks.measuring import Subject, describe_machine, markdown_table, measure
from rssr.layers.attention import QueryGlobalAggregation, SelfAttention
from rssr.models.macs import count_macs

CHANNELS = 320
SIDES = (32, 64, 128, 256)
LARGEST_SELF_ATTENTION = 128


def build_subjects(attention: nn.Module, sides: Sequence[int], device: torch.device) -> list[Subject]:
    """One subject for each size."""
    name = type(attention).__name__
    on_meta = copy.deepcopy(attention).to("meta")
    attention = attention.to(device).eval().requires_grad_(False)
    subjects = []
    for side in sides:
        tokens = torch.randn(1, side**2, CHANNELS, device=device)
        macs = count_macs(on_meta, functools.partial(on_meta, tokens.to("meta"))).total
        run = functools.partial(attention, tokens)
        subjects.append(Subject(name, f"{side} x {side}", run, side**2, macs))
    return subjects


def count_memory(subjects: Sequence[Subject]) -> None:
    """Note how much memory the results inside each take at once, without the tokens themselves."""
    for subject in subjects:
        with torch.inference_mode(), LiveBytes() as live:
            subject.run()
        subject.peak_bytes = live.peak


def table(subjects: Sequence[Subject]) -> str:
    """Time, work and memory, also for each position and beside the size before."""
    rows = [["positions", "ms", "ns a position", "of the size before", "MMAC", "peak MiB", "bytes a position"]]
    before = None
    for subject in subjects:
        per_position = subject.median_s / subject.images
        memory = subject.peak_bytes
        rows.append(
            [
                subject.mode,
                f"{1e3 * subject.median_s:.2f}",
                f"{1e9 * per_position:.0f}",
                "" if before is None else f"{per_position / before:.2f}",
                f"{subject.macs / 1e6:.0f}",
                "" if memory is None else f"{memory / 2**20:.1f}",
                "" if memory is None else f"{memory / subject.images:.0f}",
            ]
        )
        before = per_position
    return markdown_table(rows)


def main() -> None:
    """Time both kinds of attention and print the result as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    ours = build_subjects(QueryGlobalAggregation(CHANNELS), SIDES, options.device)
    small = [side for side in SIDES if side <= LARGEST_SELF_ATTENTION]
    theirs = build_subjects(SelfAttention(CHANNELS), small, options.device)
    measure([*ours, *theirs], options.repeats, options.device)
    count_memory([*ours, *theirs])
    print(describe_machine(options.device))
    print(f"- float32, {CHANNELS} channels, medians of {options.repeats} timings in turn\n")
    for title, subjects in (("Query-driven aggregation", ours), ("Self-attention", theirs)):
        print(f"{title}:\n\n{table(subjects)}\n")


if __name__ == "__main__":
    main()
