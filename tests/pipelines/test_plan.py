"""The plan as a pure function: order, tail, shards."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plan import Plan, StreamSpec, iterate_rows, part_of_batch, plan_rows, shard
from rssr.errors import ConfigError

COLUMNS = {
    "step", "micro_batch", "index", "epoch", "source", "key", "sha256", "top", "left", "patch_size", "flip", "scale",
    "seed",
}  # fmt: skip


@dataclass(frozen=True)
class Image:
    key: str
    width: int
    height: int
    source: int = 0
    sha256: str = "0" * 64


IMAGES = [Image(f"{number:02d}.png", 40 + 3 * number, 90 - 2 * number) for number in range(11)]
SPEC = StreamSpec(
    seed=5, num_steps=9, micro_batches_per_step=2, global_batch_size=4, patch_size=32, scale_range=(1.0, 4.0)
)

specs = st.builds(
    StreamSpec,
    seed=st.integers(0, 2**40),
    num_steps=st.integers(0, 6),
    micro_batches_per_step=st.integers(1, 3),
    global_batch_size=st.sampled_from([4, 8, 12]),
    patch_size=st.integers(1, 40),
    scale_range=st.sampled_from([(4.0, 4.0), (1.0, 8.0)]),
    flips=st.booleans(),
    rotations=st.booleans(),
    patches_per_image=st.sampled_from([1, 3, "area"]),
)


def rows(spec: StreamSpec, start: int = 0, stop: int | None = None) -> pa.Table:
    return plan_rows(IMAGES, spec, start, spec.num_steps if stop is None else stop)


@settings(max_examples=30, deadline=None)
@given(spec=specs)
def test_plan_is_deterministic_and_complete(spec: StreamSpec) -> None:
    table = rows(spec)
    assert table.equals(rows(spec))
    assert set(table.column_names) == COLUMNS
    assert table["index"].to_pylist() == list(range(spec.num_micro_batches * spec.global_batch_size))
    order = list(zip(table["step"].to_pylist(), table["micro_batch"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert all(count == spec.global_batch_size for count in Counter(order).values())


@settings(max_examples=30, deadline=None)
@given(spec=specs)
def test_crops_lie_inside_their_images(spec: StreamSpec) -> None:
    sizes = {image.key: (image.height, image.width) for image in IMAGES}
    for row in rows(spec).to_pylist():
        height, width = sizes[row["key"]]
        assert row["patch_size"] == spec.patch_size
        assert 0 <= row["top"] <= height - spec.patch_size
        assert 0 <= row["left"] <= width - spec.patch_size
        assert 0 <= row["seed"] < 2**63
        assert row["flip"] & ~((1 if spec.flips else 0) | (6 if spec.rotations else 0)) == 0


@settings(max_examples=30, deadline=None)
@given(spec=specs, data=st.data())
def test_starting_later_gives_exactly_the_tail(spec: StreamSpec, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, spec.num_steps))
    whole = rows(spec)
    per_step = spec.micro_batches_per_step * spec.global_batch_size
    assert rows(spec, start).equals(whole.slice(start * per_step))
    pieces = list(iterate_rows(IMAGES, spec, start, spec.num_steps, chunk_steps=2))
    if pieces:
        assert pa.concat_tables(pieces).equals(whole.slice(start * per_step))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_shards_together_are_the_whole_in_order(world_size: int) -> None:
    whole = rows(SPEC)
    shards = [shard(whole, rank, world_size) for rank in range(world_size)]
    share = SPEC.global_batch_size // world_size
    pieces = [piece.slice(number * share, share) for number in range(SPEC.num_micro_batches) for piece in shards]
    assert pa.concat_tables(pieces).equals(whole)
    plan = Plan(IMAGES, SPEC)
    for rank, piece in enumerate(shards):
        planned = [plan.micro_batch(number, rank, world_size) for number in range(SPEC.num_micro_batches)]
        for name in ("index", "top", "left", "flip", "seed", "epoch"):
            assert np.concatenate([getattr(batch, name) for batch in planned]).tolist() == piece[name].to_pylist()


def test_workers_must_divide_the_batch() -> None:
    with pytest.raises(ConfigError, match="3 workers"):
        shard(rows(SPEC), 0, 3)
    with pytest.raises(ConfigError, match="8 workers"):
        Plan(IMAGES, SPEC).micro_batch(0, 0, 8)


@given(st.integers(1, 24), st.integers(1, 5), st.data())
def test_any_number_of_workers_takes_whole_shares(num_shares: int, size: int, data: st.DataObject) -> None:
    world_size = data.draw(st.integers(1, num_shares))
    spec = replace(SPEC, global_batch_size=num_shares * size, samples_per_share=size)
    parts = [part_of_batch(spec, rank, world_size) for rank in range(world_size)]
    assert [position for part in parts for position in part] == list(range(num_shares * size))
    counts = [len(part) // size for part in parts]
    assert all(len(part) % size == 0 for part in parts)
    assert max(counts) - min(counts) <= 1 <= min(counts)
    assert max(counts) == counts[-1], "memory is reckoned by the last"


def test_more_workers_than_shares_are_refused() -> None:
    spec = replace(SPEC, global_batch_size=8, samples_per_share=4)
    with pytest.raises(ConfigError, match="3 workers cannot share micro-batches of 2 shares"):
        part_of_batch(spec, 0, 3)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_shares_of_unequal_workers_are_the_plan_in_order(world_size: int) -> None:
    spec = replace(SPEC, global_batch_size=15, samples_per_share=5)
    plan = Plan(IMAGES, spec)
    whole = plan.micro_batch(4)
    parts = [plan.micro_batch(4, rank, world_size) for rank in range(world_size)]
    for name in ("index", "image", "top", "left", "flip", "seed"):
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name))
    assert {part.scale for part in parts} == {whole.scale}


@pytest.mark.parametrize(("patches_per_image", "per_epoch"), [(1, 11), (3, 33)])
def test_each_epoch_is_a_permutation(patches_per_image: int, per_epoch: int) -> None:
    table = rows(replace(SPEC, num_steps=20, patches_per_image=patches_per_image))
    keys, epochs = table["key"].to_pylist(), table["epoch"].to_pylist()
    orders = []
    for epoch in range(len(keys) // per_epoch):
        assert set(epochs[epoch * per_epoch : (epoch + 1) * per_epoch]) == {epoch}
        order = keys[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert Counter(order) == {image.key: patches_per_image for image in IMAGES}
        orders.append(tuple(order))
    assert len(set(orders)) == len(orders), "every epoch has an order of its own"


def test_large_images_can_weigh_by_area() -> None:
    images = [Image("small", 32, 32), Image("large", 96, 64)]
    spec = replace(SPEC, num_steps=7, micro_batches_per_step=1, global_batch_size=7, patches_per_image="area")
    counts = Counter(plan_rows(images, spec, 0, 7)["key"].to_pylist())
    assert counts == {"small": 7, "large": 42}


def test_samples_do_not_depend_on_how_they_are_batched() -> None:
    fixed = replace(SPEC, scale_range=(4.0, 4.0))
    whole = rows(fixed)
    regrouped = rows(replace(fixed, global_batch_size=8, micro_batches_per_step=1))
    common = [name for name in COLUMNS if name not in ("step", "micro_batch")]
    assert whole.select(common).equals(regrouped.select(common))


def test_seeds_and_positions_are_spread() -> None:
    table = rows(replace(SPEC, num_steps=100, rotations=True))
    assert len(set(table["seed"].to_pylist())) == table.num_rows
    assert set(table["flip"].to_pylist()) == set(range(8))
    first = [row["top"] for row in table.to_pylist() if row["key"] == "00.png"]
    assert min(first) < 6
    assert max(first) > 52, "the whole image is used: rows 0 to 58"


def test_scale_is_drawn_once_a_micro_batch_within_its_range() -> None:
    table = rows(replace(SPEC, num_steps=50, scale_range=(1.0, 8.0)))
    by_batch: dict[tuple[int, int], set[float]] = {}
    for row in table.to_pylist():
        by_batch.setdefault((row["step"], row["micro_batch"]), set()).add(row["scale"])
    assert all(len(scales) == 1 for scales in by_batch.values())
    drawn = sorted(scale for scales in by_batch.values() for scale in scales)
    assert 1 <= drawn[0] < 1.5
    assert 7.5 < drawn[-1] <= 8
    assert len(set(drawn)) == 100
    assert set(rows(replace(SPEC, scale_range=(4, 4)))["scale"].to_pylist()) == {4.0}


def test_listed_scales_are_equally_likely() -> None:
    table = rows(replace(SPEC, num_steps=150, scale_range=(1.0, 8.0), scales=(2.0, 3.4, 4.0)))
    drawn = {(row["step"], row["micro_batch"]): row["scale"] for row in table.to_pylist()}
    counts = Counter(drawn.values())
    assert counts.keys() == {2.0, 3.4, 4.0}
    assert all(len(drawn) / 4 < count < len(drawn) / 2.3 for count in counts.values())


@given(scale=st.floats(1, 8), lr_patch_size=st.integers(1, 64))
def test_fixed_lr_patches_follow_the_scale(scale: float, lr_patch_size: int) -> None:
    spec = replace(SPEC, lr_patch_size=lr_patch_size, scale_range=(1.0, 8.0))
    size, ratio = spec.patch_size_at(scale), spec.scale_at(scale)
    assert size == int(lr_patch_size * scale) <= spec.largest_patch_size
    assert int(size / ratio) == lr_patch_size
    assert ratio == pytest.approx(size / lr_patch_size, rel=1e-12)
    assert replace(spec, lr_patch_size=None).scale_at(scale) == scale


def test_a_batch_of_fixed_lr_patches_carries_the_ratio_of_its_own_sizes() -> None:
    spec = replace(SPEC, lr_patch_size=4, scale_range=(1.0, 8.0))
    planned = [Plan(IMAGES, spec).micro_batch(number) for number in range(12)]
    assert {int(batch.patch_size / batch.scale) for batch in planned} == {4}
    assert len({batch.patch_size for batch in planned}) > 3


def test_unusable_images_are_named() -> None:
    with pytest.raises(ConfigError, match="no training image"):
        plan_rows([], SPEC, 0, 1)
    with pytest.raises(ConfigError, match=r"00\.png measures 40x90 pixels, too small for crops of 41"):
        plan_rows(IMAGES, replace(SPEC, patch_size=41), 0, 1)
    with pytest.raises(ConfigError, match="192"):
        plan_rows(IMAGES, replace(SPEC, lr_patch_size=48), 0, 1)


def test_the_plan_never_changes() -> None:
    """Old checkpoints go on with the data they were promised; change this digest only with a note to users."""
    lines = [repr(tuple(row.values())) for row in rows(replace(SPEC, rotations=True)).to_pylist()]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest[:16] == "f605794219650873"
