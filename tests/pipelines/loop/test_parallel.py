"""Any number of processes, and either way of holding parameters, trains the same network."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.loop.batch_norm import SynchronisedBatchNorm2d, synchronise_batch_norm
from pipelines.loop.checkpoints import CheckpointStore
from pipelines.loop.context import LocalContext
from pipelines.loop.loop import LoopInputs, TrainingLoop
from pipelines.loop.parallel import Shards
from pipelines.storage import open_store
from rssr.errors import ConfigError
from rssr.methods.phase import Batch
from rssr.methods.training import TrainingConfig
from tests.pipelines.loop.toy import ToyPhase, ToyStream

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "num_steps": 20,
    "batch_size": 2,
    "patch_size": 16,
    "learning_rate": 1e-2,
    "micro_batches_per_step": 2,
    "log_every_n_steps": 5,
    "validate_every_n_steps": 10,
    "checkpoint_every_n_steps": 5,
}
WIDE = 1024  # blocks of a million parameters, which are put together on their own


def spawn(world_size: int, meeting: Path, runs: list[dict[str, Any]], expect: str = "") -> list[int]:
    """Run processes to their end; returns their exit statuses. Those that fail must say what is expected."""
    arguments = [str(world_size), str(meeting), json.dumps(runs)]
    module = [sys.executable, "-m", "tests.pipelines.loop.toy_process"]
    processes = [
        subprocess.Popen([*module, str(rank), *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(world_size)
    ]
    statuses = []
    for process in processes:
        _, errors = process.communicate(timeout=300)
        statuses.append(process.returncode)
        if process.returncode != 0:
            print(errors, file=sys.stderr)
        if process.returncode > 0:
            assert expect in errors
    return statuses


def train_alone(folder: Path, num_shares: int, width: int = 8, with_critic: bool = False) -> dict[str, Tensor]:
    """The same in this process."""
    config = TrainingConfig.model_validate(SETTINGS)
    phase = ToyPhase(config, width, with_critic)
    losses: list[float] = []
    inputs = LoopInputs(
        phase=phase,
        batches=ToyStream(config, num_shares),
        held_out=[Batch(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), 1.0)],
        checkpoints=CheckpointStore(open_store(str(folder)), keep=2),
        seed=11,
        num_shares=num_shares,
        on_step=lambda step, terms: losses.append(terms["loss/main"]),
    )
    TrainingLoop(inputs, LocalContext()).run()
    (folder / "losses.json").write_text(json.dumps(losses))
    return {name: value.detach().clone() for name, value in phase.main.state_dict().items()}


def weights_in(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(folder / "weights.pt", weights_only=True)
    return weights


def losses_in(folder: Path) -> list[float]:
    losses: list[float] = json.loads((folder / "losses.json").read_text())
    return losses


def difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """Largest difference of a tensor, relative to its largest value."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max()) for name in ours)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of what two processes have trained."""
    root = tmp_path_factory.mktemp("pair")
    common = {"settings": SETTINGS, "num_shares": 2}
    short = {**SETTINGS, "num_steps": 10}
    runs: list[dict[str, Any]] = [
        {**common, "folder": str(root / "replicas")},
        {**common, "folder": str(root / "three"), "num_shares": 3},
        {**common, "folder": str(root / "critic"), "with_critic": True},
        {**common, "folder": str(root / "wide"), "width": WIDE},
        {**common, "folder": str(root / "shards"), "width": WIDE, "settings": {**SETTINGS, "parallelism": "shards"}},
        {**common, "folder": str(root / "half"), "width": WIDE, "settings": {**short, "parallelism": "shards"}},
    ]
    for values in runs:
        Path(values["folder"]).mkdir()
    assert spawn(2, root / "meeting", runs) == [0, 0]
    return root


def test_two_processes_learn_what_one_does(pair: Path, tmp_path: Path) -> None:
    assert difference(weights_in(pair / "replicas"), train_alone(tmp_path, num_shares=2)) < 1e-4
    assert losses_in(pair / "replicas") == pytest.approx(losses_in(tmp_path), rel=1e-5)


def test_shares_that_processes_do_not_divide_count_alike(pair: Path, tmp_path: Path) -> None:
    assert difference(weights_in(pair / "three"), train_alone(tmp_path, num_shares=3)) < 1e-4
    assert losses_in(pair / "three") == pytest.approx(losses_in(tmp_path), rel=1e-5)


def test_several_optimizers_are_trained_by_several_processes(pair: Path, tmp_path: Path) -> None:
    # The critic's statistics are over more samples at once, but it does not teach the network here.
    assert difference(weights_in(pair / "critic"), train_alone(tmp_path, num_shares=2, with_critic=True)) < 1e-4


def test_shards_learn_what_replicas_do(pair: Path) -> None:
    assert losses_in(pair / "shards") == pytest.approx(losses_in(pair / "wide"), rel=1e-5)
    # Adam divides by gradients that are next to nothing for some of so many weights, and rounding shows there.
    assert difference(weights_in(pair / "shards"), weights_in(pair / "wide")) < 1e-3


def test_a_checkpoint_of_shards_goes_on_in_one_process(pair: Path) -> None:
    assert difference(train_alone(pair / "half", 2, WIDE), weights_in(pair / "shards")) < 1e-3


@pytest.mark.parametrize(("dies_at", "with_critic"), [(11, False), (14, False), (14, True)])
def test_two_processes_killed_go_on_to_the_same_bits(
    pair: Path, tmp_path: Path, dies_at: int, with_critic: bool
) -> None:
    values: dict[str, Any] = {"folder": str(tmp_path), "settings": SETTINGS, "num_shares": 2}
    values |= {"with_critic": with_critic}
    statuses = spawn(2, tmp_path / "first", [{**values, "dies_at": dies_at}])
    assert all(statuses), "both died"
    assert spawn(2, tmp_path / "second", [values]) == [0, 0]
    ours, theirs = weights_in(tmp_path), weights_in(pair / ("critic" if with_critic else "replicas"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_statistic_that_differs_between_processes_is_found_before_it_is_kept(tmp_path: Path) -> None:
    values = {"folder": str(tmp_path), "settings": SETTINGS, "num_shares": 2, "keeps_own_statistic": True}
    assert spawn(2, tmp_path / "meeting", [values], expect="main/level of phase toy differs between processes") != [
        0,
        0,
    ]


def test_sharding_two_optimizers_is_refused_with_advice() -> None:
    phase = ToyPhase(TrainingConfig.model_validate(SETTINGS), with_critic=True)
    with pytest.raises(ConfigError, match="parallelism=replicas"):
        Shards(phase.objectives(), torch.device("cpu"), 2)


def test_only_plain_batch_norms_are_synchronised() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm1d(3), nn.Conv2d(3, 3, 1))
    names = list(net.state_dict())
    synchronise_batch_norm(net)
    assert [type(module) for module in net] == [SynchronisedBatchNorm2d, nn.BatchNorm1d, nn.Conv2d]
    assert list(net.state_dict()) == names
