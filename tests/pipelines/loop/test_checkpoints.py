import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from pipelines.loop.checkpoints import Checkpoint, CheckpointStore, CheckpointWriter
from pipelines.storage import Store
from pipelines.storage.local import LocalStore
from rssr.errors import StorageError
from rssr.methods.training import BestBy


def make_checkpoint(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for parameter in network.parameters():
        parameter.data.normal_(generator=generator)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.randn(4, 3, generator=generator)).sum().backward()
    optimizer.step()
    state = dict(network.state_dict())
    return Checkpoint(step, {"main": state, "average-0": state}, {"main": optimizer.state_dict()}, {"losses": [step]})


def assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.step, one.progress) == (other.step, other.progress)
    assert one.tensors.keys() == other.tensors.keys()
    for name, group in one.tensors.items():
        assert group.keys() == other.tensors[name].keys()
        for key, value in group.items():
            assert value.dtype == other.tensors[name][key].dtype
            assert torch.equal(value, other.tensors[name][key])
    assert flat(one.optimizers) == flat(other.optimizers)


def flat(values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.tolist()
    if isinstance(values, dict):
        return {key: flat(value) for key, value in values.items()}
    return [flat(value) for value in values] if isinstance(values, list) else values


class DyingStore(LocalStore):
    """A folder whose owner is killed at the n-th write."""

    lives = 0

    def write_bytes(self, key: str, data: bytes) -> None:
        DyingStore.lives -= 1
        if DyingStore.lives < 0:
            raise KeyboardInterrupt
        super().write_bytes(key, data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def keep(folder: Path, number: int = 2, store: Store | None = None) -> CheckpointStore:
    return CheckpointStore(store or LocalStore(folder), number)


def test_a_checkpoint_comes_back_with_the_same_bits(folder: Path) -> None:
    keep(folder).save(make_checkpoint(7))
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert_same(loaded, make_checkpoint(7))


def test_where_there_is_none_none_is_found(folder: Path) -> None:
    assert keep(folder).load_latest() is None


def test_the_newest_is_loaded_and_older_ones_are_deleted(folder: Path) -> None:
    store = keep(folder, 2)
    for step in (5, 90, 100, 1000):
        store.save(make_checkpoint(step))
    assert {path.name for path in folder.iterdir()} == {"step-00000100", "step-00001000"}
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.step == 1000


def test_steps_of_more_digits_are_newer(folder: Path) -> None:
    store = keep(folder, 2)
    for step in (99_999_999, 100_000_000):
        store.save(make_checkpoint(step))
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.step == 100_000_000


def test_strange_folders_are_left_alone(folder: Path) -> None:
    (folder / "step-notes").mkdir(parents=True)
    (folder / "step-notes" / "index.json").write_text("{}")
    store = keep(folder, 1)
    for step in (1, 2, 3):
        store.save(make_checkpoint(step))
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.step == 3
    assert (folder / "step-notes").is_dir()


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a folder that holds steps 4 and 8."""
    folder = tmp_path_factory.mktemp("two")
    for step in (4, 8):
        keep(folder).save(make_checkpoint(step))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_file_that_is_damaged_in_any_way_lets_the_one_before_be_loaded(
    data: st.DataObject, two_checkpoints: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = data.draw(st.sampled_from(sorted(name for name in two_checkpoints if name.startswith("step-00000008"))))
    original = two_checkpoints[name]
    damage = data.draw(st.sampled_from(["removed", "cut", "one byte", "longer"]))
    position = data.draw(st.integers(0, len(original) - 1))
    changed = {
        "removed": None,
        "cut": original[:position],
        "one byte": original[:position]
        + bytes([original[position] ^ data.draw(st.integers(1, 255))])
        + original[position + 1 :],
        "longer": original + b"x",
    }[damage]
    folder = tmp_path_factory.mktemp("damaged")
    for other, content in two_checkpoints.items():
        content_now = changed if other == name else content
        if content_now is not None:
            (folder / other).parent.mkdir(exist_ok=True)
            (folder / other).write_bytes(content_now)
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert loaded.step == 4


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{}", '{"files": {}}', '{"files": []}', '{"files": {"a": 1}}'])
def test_an_index_of_another_shape_is_not_trusted(folder: Path, text: str) -> None:
    for step in (4, 8):
        keep(folder).save(make_checkpoint(step))
    (folder / "step-00000008" / "index.json").write_text(text)
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert loaded.step == 4


def test_an_index_of_another_checkpoint_vouches_for_nothing(folder: Path) -> None:
    for step in (4, 8):
        keep(folder).save(make_checkpoint(step))
    newest = folder / "step-00000008"
    (newest / "index.json").write_bytes((folder / "step-00000004" / "index.json").read_bytes())
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert loaded.step == 4


def test_an_index_that_leaves_a_file_out_is_not_trusted(folder: Path) -> None:
    for step in (4, 8):
        keep(folder).save(make_checkpoint(step))
    index = folder / "step-00000008" / "index.json"
    values = json.loads(index.read_bytes())
    del values["files"]["main.safetensors"]
    index.write_text(json.dumps(values, indent=1, sort_keys=True))
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert loaded.step == 4


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_save_that_is_killed_anywhere_leaves_the_one_before(tmp_path: Path, rewritten: bool) -> None:
    for lives in range(50):
        folder = tmp_path / str(lives)
        keep(folder).save(make_checkpoint(4))
        if rewritten:  # over a checkpoint of the same step that was damaged since
            keep(folder).save(make_checkpoint(8))
            (folder / "step-00000008" / "main.safetensors").write_bytes(b"damaged")
        DyingStore.lives = lives
        try:
            keep(folder, store=DyingStore(folder)).save(make_checkpoint(8))
        except KeyboardInterrupt:
            loaded = keep(folder).load_latest()
            assert loaded is not None
            assert_same(loaded, make_checkpoint(4))
            continue
        loaded = keep(folder).load_latest()
        assert loaded is not None
        assert_same(loaded, make_checkpoint(8))
        assert lives >= 5
        return
    raise AssertionError("the save never ended")


def test_a_checkpoint_never_runs_code_that_was_put_into_it(folder: Path) -> None:
    class Malice:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (folder / "harm",))

    keep(folder).save(Checkpoint(1, {}, {"main": {"state": Malice()}}, {}))
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        keep(folder).load_latest()
    assert not (folder / "harm").exists()


def with_metric(step: int, psnr: float) -> Checkpoint:
    return dataclasses.replace(make_checkpoint(step), metrics={"psnr": psnr})


@pytest.mark.parametrize(("is_highest", "best"), [(True, 20), (False, 40)])
def test_the_best_by_a_metric_is_kept_besides_the_newest(folder: Path, is_highest: bool, best: int) -> None:
    store = CheckpointStore(LocalStore(folder), 2, BestBy(metric="psnr", is_highest=is_highest))
    for step, psnr in ((10, 24.0), (20, 31.0), (30, float("nan")), (40, 19.0), (50, 25.0), (60, 30.0)):
        store.save(with_metric(step, psnr))
    store.save(make_checkpoint(70))  # without a validation
    assert [entry.step for entry in store.kept()] == [best, 60, 70]
    found = store.best()
    assert found is not None
    assert (found.step, found.uri) == (best, f"{store.uri}/step-{best:08d}")


def test_without_a_metric_none_is_best(folder: Path) -> None:
    store = keep(folder)
    store.save(with_metric(10, 24.0))
    assert store.best() is None


def test_kept_checkpoints_tell_a_digest_of_what_they_hold(folder: Path, tmp_path: Path) -> None:
    one, other = keep(folder), keep(tmp_path / "other")
    one.save(with_metric(10, 24.0))
    other.save(with_metric(10, 24.0))
    assert one.kept()[0].sha256 == other.kept()[0].sha256
    other.save(with_metric(20, 24.0))
    assert other.kept()[1].sha256 != other.kept()[0].sha256


def test_a_checkpoint_is_written_as_it_was_when_it_was_put(folder: Path) -> None:
    checkpoint = make_checkpoint(7)
    with CheckpointWriter(keep(folder)) as writer:
        writer.put(checkpoint)
        for value in checkpoint.tensors["main"].values():
            value.zero_()
        checkpoint.progress["losses"].append(8)
    loaded = keep(folder).load_latest()
    assert loaded is not None
    assert_same(loaded, make_checkpoint(7))


class FullStore(LocalStore):
    def write_bytes(self, key: str, data: bytes) -> None:
        raise StorageError("the disk is full")


def test_a_checkpoint_that_cannot_be_written_ends_the_run(folder: Path) -> None:
    writer = CheckpointWriter(keep(folder, store=FullStore(folder)))
    with pytest.raises(StorageError, match="full"), writer:
        writer.put(make_checkpoint(7))


def test_what_ended_the_run_counts_more_than_a_checkpoint_that_cannot_be_written(folder: Path) -> None:
    writer = CheckpointWriter(keep(folder, store=FullStore(folder)))
    with pytest.raises(KeyboardInterrupt), writer:
        writer.put(make_checkpoint(7))
        raise KeyboardInterrupt
