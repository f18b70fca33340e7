"""The cluster of AWS: Ray takes the file, and it says what README.md promises."""

import re
import shlex
from copy import deepcopy
from pathlib import Path

import pytest
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli as ray_cli

from tests.cluster.files import CLUSTER, Manifest, document, texts

CONFIG = document(CLUSTER / "aws.yaml")
TYPES: dict[str, Manifest] = CONFIG["available_node_types"]
WORKERS = [name for name in TYPES if name != CONFIG["head_node_type"]]


def test_ray_takes_the_file() -> None:
    validate_config(prepare_config(deepcopy(CONFIG)))


def test_ray_notices_a_key_that_it_does_not_know() -> None:
    with pytest.raises(Exception, match="idle_minutes"):
        validate_config(prepare_config({**deepcopy(CONFIG), "idle_minutes": 3}))


def test_the_head_has_no_cores_and_workers_come_when_they_are_needed() -> None:
    assert TYPES["head"]["resources"] == {"CPU": 0}
    assert all(TYPES[name]["min_workers"] == 0 < TYPES[name]["max_workers"] for name in WORKERS)
    assert CONFIG["max_workers"] == sum(TYPES[name]["max_workers"] for name in WORKERS)
    assert 0 < CONFIG["idle_timeout_minutes"] <= 15
    assert CONFIG["provider"]["cache_stopped_nodes"] is False


def test_workers_of_data_have_no_gpus_and_those_of_training_have() -> None:
    assert "GPU" not in TYPES["cpu"]["resources"] and TYPES["gpu"]["resources"]["GPU"] == 1
    assert TYPES["gpu"]["docker"]["worker_run_options"] == ["--gpus all"]


@pytest.mark.parametrize("name", TYPES)
def test_nodes_reach_storage_by_their_profile_and_not_by_keys(name: str) -> None:
    node = TYPES[name]["node_config"]
    assert node["IamInstanceProfile"].keys() == {"Name"}
    assert node["MetadataOptions"] == {"HttpTokens": "required"}
    assert node["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert not re.search("access_key|secret", str(CONFIG), re.IGNORECASE)


def test_every_node_has_the_token_where_ray_looks_for_it() -> None:
    from ray._private.authentication.authentication_token_setup import _get_default_token_path

    ((there, here),) = CONFIG["file_mounts"].items()
    assert Path(here).expanduser() == _get_default_token_path()
    containerfile = texts()["cluster/Containerfile"]
    assert f"HOME={Path(there).parents[1]}" in containerfile
    assert there == f"/home/rssr/{_get_default_token_path().relative_to(Path.home())}"
    assert "-e RAY_AUTH_MODE=token" in CONFIG["docker"]["run_options"]


def test_only_ssh_is_open_and_not_to_all() -> None:
    for rule in CONFIG["provider"]["security_group"]["IpPermissions"]:
        assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
        assert all(not given["CidrIp"].endswith("/0") for given in rule["IpRanges"])


def test_zones_lie_in_the_region() -> None:
    region = CONFIG["provider"]["region"]
    assert all(zone.startswith(region) for zone in CONFIG["provider"]["availability_zone"].split(","))
    assert f"-e AWS_REGION={region}" in CONFIG["docker"]["run_options"]


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_ray_takes_the_options_of_start(kind: str) -> None:
    stop, start = CONFIG[f"{kind}_start_ray_commands"]
    assert stop == "ray stop"
    program, command, *arguments = shlex.split(start)
    assert (program, command) == ("ray", "start")
    options = ray_cli.commands["start"].make_context("ray start", arguments).params
    assert options["metrics_export_port"] == 8080
    assert options["head"] == (kind == "head")
    assert options["num_cpus"] == (0 if kind == "head" else None)
    address = f"$RAY_HEAD_IP:{options['port'] or 6379}" if kind == "worker" else None
    assert options["address"] == address


def test_values_that_everybody_has_to_change_are_marked() -> None:
    text = texts()["cluster/aws.yaml"]
    marked = [
        line.split(":")[0].strip(" -")
        for line in text.splitlines()
        if line.rstrip().endswith("# YOURS") or "# YOURS:" in line
    ]
    assert marked == ["region", "CidrIp", "image", "e MLFLOW_TRACKING_URI=http"]
