import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from rssr.errors import WeightsError
from rssr.weights.base import (
    PROMPT_FILE,
    STABLE_DIFFUSION,
    TINY_AUTOENCODER,
    BaseLocations,
    create_autoencoder,
    create_unet,
    find_missing,
    freeze,
    load_autoencoder,
    load_prompt_embedding,
    load_schedule,
    load_tiny_autoencoder,
    load_unet,
    outline_of,
    quietly,
)
from rssr.weights.stand_ins import (
    build_autoencoder,
    build_text_encoder,
    build_tiny_autoencoder,
    build_unet,
    save_stand_ins,
)

LOADERS: dict[str, Callable[[Any], Any]] = {
    "unet": load_unet,
    "vae": load_autoencoder,
    "scheduler": load_schedule,
    "taesd": load_tiny_autoencoder,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "stable-diffusion"
    folder.mkdir()
    nets = build_autoencoder((4, 4, 8, 8), 2), build_tiny_autoencoder(8, 1), build_unet((8, 16, 16, 16), 4, 8)
    save_stand_ins(folder, *nets, build_text_encoder(8), scaling=1.0)
    return folder


def set_scheduler(folder: Path, **values: object) -> BaseLocations:
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return BaseLocations.in_folder(folder)


def test_stable_diffusion_has_its_published_sizes() -> None:
    with torch.device("meta"):
        unet, autoencoder = create_unet(), create_autoencoder()
    assert sum(p.numel() for p in unet.parameters()) == 865_910_724
    assert sum(p.numel() for p in autoencoder.parameters()) == 83_653_863


def test_values_replace_the_published_sizes() -> None:
    unet = create_unet(block_out_channels=(32, 32, 64, 64), attention_head_dim=8, cross_attention_dim=16)
    assert unet.config.cross_attention_dim == 16
    assert unet(torch.rand(1, 4, 8, 8), 1, torch.rand(1, 3, 16)).sample.shape == (1, 4, 8, 8)


def test_loaded_networks_can_be_frozen(folder: Path) -> None:
    network = freeze(load_autoencoder(BaseLocations.in_folder(folder)).train())
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("part", LOADERS)
def test_a_missing_directory_names_id_directory_and_command(tmp_path: Path, part: str) -> None:
    absent = tmp_path / "nowhere"
    with pytest.raises(WeightsError) as raised:
        LOADERS[part](BaseLocations(str(absent), str(absent)))
    name = TINY_AUTOENCODER if part == "taesd" else STABLE_DIFFUSION
    assert str(absent) in raised.value.problem
    assert f"`hf download {name} --local-dir {absent}`" in raised.value.remedy
    assert "\n" not in str(raised.value)


def test_a_whole_directory_lacks_nothing_and_each_lacking_one_is_named_once(folder: Path, tmp_path: Path) -> None:
    locations = BaseLocations.in_folder(folder)
    assert find_missing(locations) == []
    (folder / "vae").rename(folder / "elsewhere")
    absent = str(tmp_path / "nowhere")
    found = find_missing(BaseLocations(locations.stable_diffusion, absent))
    assert [(item.name, item.place) for item in found] == [
        (str(folder), f"looked in the directory {folder}"),
        (absent, f"looked in the directory {absent}"),
    ]
    assert found[0].command == f"hf download {STABLE_DIFFUSION} --local-dir {folder}"
    assert found[1].setting == f"base_weights.taesd={absent}"


def missing_ids(environment: dict[str, str]) -> list[str]:
    """Hub ids that are missing, found out in a process of its own: the hub's client reads its settings once."""
    script = """
        from rssr.weights.base import BaseLocations, find_missing
        for item in find_missing(BaseLocations("there/stable", "there/tiny")):
            print(item.name, item.place, sep="|")
        """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**kept, **environment, "OMP_NUM_THREADS": "1"},
    )
    return [line.partition("|")[0] for line in ran.stdout.splitlines()]


def test_hub_ids_are_asked_of_the_hub_with_the_users_token(tmp_path: Path) -> None:
    asked: list[tuple[str, str | None]] = []

    class Hub(BaseHTTPRequestHandler):
        """Holds everything but the tiny autoencoder."""

        def do_HEAD(self) -> None:
            asked.append((self.path, self.headers["authorization"]))
            self.send_response(404 if "tiny" in self.path else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path), "HF_TOKEN": "planted-token"}
        assert missing_ids(settings) == ["there/tiny"]
    finally:
        server.shutdown()
        server.server_close()
    stable = ("unet/config.json", "vae/config.json", "scheduler/scheduler_config.json")
    expected = [f"/there/stable/resolve/main/{name}" for name in stable] + ["/there/tiny/resolve/main/config.json"]
    assert asked == [(path, "Bearer planted-token") for path in expected]


def test_what_the_hubs_cache_holds_is_not_missing_without_a_network(tmp_path: Path) -> None:
    settings = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    cached = tmp_path / "hub" / "models--there--tiny"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (cached / "snapshots" / ("0" * 40) / "config.json").write_text("{}")
    assert missing_ids(settings) == ["there/stable"]


@pytest.mark.parametrize("part", LOADERS)
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(WeightsError, match=part):
        LOADERS[part](BaseLocations.in_folder(folder))


@pytest.mark.parametrize("part", ["unet", "vae", "taesd"])
@pytest.mark.parametrize("damage", ["no weights", "half the weights", "garbled configuration"])
def test_a_damaged_part_is_refused(folder: Path, part: str, damage: str) -> None:
    weights = folder / part / "diffusion_pytorch_model.safetensors"
    if damage == "no weights":
        weights.unlink()
    elif damage == "half the weights":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    else:
        (folder / part / "config.json").write_text("{not json")
    with pytest.raises(WeightsError, match=str(folder)):
        LOADERS[part](BaseLocations.in_folder(folder))


def test_pickled_weights_are_not_read(folder: Path) -> None:
    unet = load_unet(BaseLocations.in_folder(folder))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save(unet.state_dict(), weights.with_suffix(".bin"))
    with pytest.raises(WeightsError, match="safetensors"):
        load_unet(BaseLocations.in_folder(folder))


def test_a_damaged_prompt_file_is_refused(folder: Path) -> None:
    (folder / PROMPT_FILE).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=PROMPT_FILE):
        load_prompt_embedding(BaseLocations.in_folder(folder))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [("beta_schedule", "linear", "scaled_linear"), ("prediction_type", "v_prediction", "epsilon")],
)
def test_schedules_and_predictions_of_other_models_are_refused(folder: Path, key: str, value: str, named: str) -> None:
    with pytest.raises(WeightsError, match=f"{key} '{value}'.*{named}"):
        load_schedule(set_scheduler(folder, **{key: value}))


def test_schedule_follows_the_directory(folder: Path) -> None:
    schedule = load_schedule(set_scheduler(folder, num_train_timesteps=20, beta_start=0.01, beta_end=0.1))
    assert schedule.num_train_timesteps == 20
    assert schedule.bounds[1] == pytest.approx(0.99)


def test_home_directories_are_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    locations = BaseLocations("~/stable-diffusion", "~/stable-diffusion/taesd")
    assert load_schedule(locations).num_train_timesteps == 1000
    assert load_prompt_embedding(locations).shape == (1, 8, 8)


def test_an_outline_has_the_sizes_of_its_directory_without_its_weights(folder: Path) -> None:
    locations = BaseLocations.in_folder(folder)
    whole = {part: LOADERS[part](locations) for part in ("unet", "vae", "taesd")}
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    outline = outline_of(locations)
    with torch.device("meta"):
        for part, network in whole.items():
            alone = LOADERS[part](outline)
            assert not alone.training
            assert {name: t.shape for name, t in alone.state_dict().items()} == {
                name: t.shape for name, t in network.state_dict().items()
            }
        assert load_prompt_embedding(outline).shape == (1, 77, 8)
    assert load_schedule(outline).num_train_timesteps == 1000


def test_the_outline_of_a_hub_id_is_the_published_one() -> None:
    outline = outline_of(BaseLocations("nobody/nothing", "nobody/nothing"))
    with torch.device("meta"):
        networks = {part: LOADERS[part](outline) for part in ("unet", "vae", "taesd")}
        assert load_prompt_embedding(outline).shape == (1, 77, 1024)
    counts = {part: sum(p.numel() for p in network.parameters()) for part, network in networks.items()}
    assert counts == {"unet": 865_910_724, "vae": 83_653_863, "taesd": 2_445_063}


@pytest.mark.parametrize("part", ["unet", "vae", "taesd"])
def test_an_outline_needs_the_directorys_configurations(folder: Path, part: str) -> None:
    (folder / part / "config.json").unlink()
    with pytest.raises(WeightsError, match=part):
        LOADERS[part](outline_of(BaseLocations.in_folder(folder)))


def test_the_users_settings_are_restored() -> None:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [library.get_verbosity() for library in libraries]
    diffusers_logging.set_verbosity_info()
    transformers_logging.disable_progress_bar()
    try:
        with quietly():
            assert all(library.get_verbosity() > 30 for library in libraries)
            assert not any(library.is_progress_bar_enabled() for library in libraries)
        assert diffusers_logging.get_verbosity() == 20
        assert diffusers_logging.is_progress_bar_enabled()
        assert not transformers_logging.is_progress_bar_enabled()
    finally:
        transformers_logging.enable_progress_bar()
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)


def test_loading_is_silent_and_an_unknown_hub_id_is_explained(folder: Path, tmp_path: Path) -> None:
    """In a process of its own: the libraries speak when they are first imported."""
    script = textwrap.dedent(
        """
        import sys, warnings
        from rssr.errors import WeightsError
        from rssr.methods.slimdiffsr.teacher import create_teacher  # imports peft when it builds
        from rssr.weights import base

        locations = base.BaseLocations(sys.argv[1], sys.argv[1] + "/taesd")
        for load in (base.load_unet, base.load_autoencoder, base.load_tiny_autoencoder, base.load_schedule):
            load(locations)
        base.compute_prompt_embedding(locations)
        widths = dict(block_out_channels=(8, 8, 8, 8), norm_num_groups=2)
        create_teacher({**widths, "attention_head_dim": 2, "cross_attention_dim": 8}, widths)
        warnings.simplefilter("ignore")  # the hub's own, on the way to a download
        try:
            base.load_unet(base.BaseLocations("nobody/nothing", "nobody/nothing"))
        except WeightsError as error:
            print(error)
        """
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1
    assert "nobody/nothing" in ran.stdout
    assert str(tmp_path / "hub") in ran.stdout
    assert "hf download nobody/nothing --local-dir DIR" in ran.stdout
