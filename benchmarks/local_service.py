"""The service on a Ray instance of its own on this machine, with a small network, to be measured or killed there."""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no stubs
import ray
import torch
from ray import serve

from cluster.local.servers import free_port
from pipelines.serving.config import ServeConfig
from pipelines.serving.deploy import run_serve
from rssr.card import ModelCard
from rssr.client import Client
from rssr.configuration import load_config
from rssr.models.registry import create_model
from rssr.scenes.geotiff import write_scene_geotiff
from rssr.weights.folder import save_model_folder

ROOT = Path(__file__).resolve().parents[1]
MODEL = "network"
SCALE = 4
SIDE = 128

_PATIENCE_S = 180.0
_GSD_M = 2.0
_ARCHITECTURE = {
    "channels": 16,
    "channel_multipliers": (1, 1, 2, 2),
    "num_res_blocks": 1,
    "norm_num_groups": 4,
    "num_distillation_blocks": (1, 1),
    "upsampler_channels": 16,
    "denoiser_channels": 16,
    "denoiser_multipliers": (1, 2),
    "denoiser_num_res_blocks": 1,
    "attention_resolutions": (8,),
    "head_channels": 8,
}


@dataclass(frozen=True)
class LocalService:
    """A running service.

    Attributes:
        folder: For files; gone with it.
        port: Where it listens.
    """

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Client:
        """A client that waits out what is killed."""
        return Client(self.url, timeout_s=120.0, max_attempts=30, max_wait_s=120.0)

    def processes(self, part: str) -> list[psutil.Process]:
        """Processes of this service alone whose title holds some text."""
        return [process for process in psutil.Process().children(recursive=True) if part in _title(process)]

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Of a deployment of the application."""
        return self.processes(f"ServeReplica:rssr:{deployment}")

    def num_running(self, deployment: str) -> int:
        """Replicas that take requests, as Serve tells it."""
        status = serve.status().applications["rssr"].deployments[deployment]
        return int(status.replica_states.get("RUNNING", 0))


@contextmanager
def local_service(settings: Sequence[str], num_cpus: int) -> Iterator[LocalService]:
    """Start it, and end it after the block.

    Args:
        settings: Overrides of `jobs/serve.py`; `{folder}` is the service's folder, in which `network` is a model.
        num_cpus: Cores that Ray hands out.
    """
    os.environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    with tempfile.TemporaryDirectory(prefix="rssr-service-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        make_model(folder / MODEL)
        ray_options = {"num_cpus": num_cpus, "include_dashboard": False, "object_store_memory": 256 * 2**20}
        context = ray.init(address="local", log_to_driver=False, logging_level="error", **ray_options)
        os.environ["RAY_ADDRESS"] = context.address_info["address"]
        try:
            given = [
                f"port={port}",
                f"output={folder / 'state'}",
                f"telemetry.log_folder={folder / 'logs'}",
                "wait=false",
            ]
            filled = [setting.replace("{folder}", str(folder)) for setting in settings]
            with contextlib.redirect_stdout(sys.stderr):  # what is printed there is for people who type the job
                run_serve(load_config(ServeConfig, None, [*given, *filled]))
            yield LocalService(folder, port)
        finally:
            with contextlib.suppress(Exception):  # what is left of it; the instance ends anyway
                serve.shutdown()
            ray.shutdown()
            del os.environ["RAY_ADDRESS"]


def served_model(scaling: str, replica: str = "{}") -> str:
    """The setting that serves the network; scaling and replica are mappings as YAML has them."""
    source = "{folder}/" + MODEL
    return f"models=[{{source: {source}, name: {MODEL}, scale: {SCALE}, scaling: {scaling}, replica: {replica}}}]"


def make_model(folder: Path) -> None:
    """A narrow LDCSR with random weights: it takes as long as a trained one."""
    torch.manual_seed(0)
    card = ModelCard(
        name="ldcsr-untrained",
        method="ldcsr",
        bands=["red", "green", "blue"],
        scale_range=(1, 8),
        tile_size=SIDE,
        halo=8,
        licence="none",
    )
    save_model_folder(folder, "ldcsr", _ARCHITECTURE, create_model("ldcsr", **_ARCHITECTURE), card)


def make_scene(path: Path, number: int = 0, side: int = SIDE) -> Path:
    """A GeoTIFF of three bands."""
    write_scene_geotiff(path, number, side, side, gsd_m=_GSD_M)
    return path


def wait_until_ready(service: LocalService) -> None:
    """Wait until images are answered.

    Raises:
        RuntimeError: They never are.
    """
    deadline_s = time.monotonic() + _PATIENCE_S
    while not service.client.is_ready():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"the service does not get ready; see {service.folder / 'logs'}")
        time.sleep(0.2)


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""
