"""Commands that files of `cluster/` name: the jobs are there, and take these arguments; workers fit on their nodes."""

import re
from typing import Any

import pytest

from tests.cluster.files import CLUSTER, JOBS, ROOT, cluster_spec, ray_job, texts
from tests.jobs.typed import read_command, typed_commands

README = texts()["cluster/README.md"]
ENTRYPOINTS = {name: str(ray_job(name)["spec"]["entrypoint"]) for name in JOBS}


TYPED = typed_commands(README)


@pytest.mark.parametrize("name", JOBS)
def test_jobs_take_what_their_manifests_give_them(name: str) -> None:
    job, config = read_command(ENTRYPOINTS[name])
    assert job == name
    outputs = re.findall(r" output(?:\.uri)?=(\S+)", ENTRYPOINTS[name])
    assert outputs and all(uri.startswith("s3://") for uri in outputs), "a pod's own disk ends with it"
    assert getattr(config, "ray").may_grow, "a cluster without workers refuses jobs that do not wait"  # noqa: B009


def test_an_argument_that_a_job_does_not_take_is_noticed() -> None:
    with pytest.raises(Exception, match="num_worker"):
        read_command(ENTRYPOINTS["bulk"].replace("num_workers", "num_worker"))


def test_the_readme_names_commands() -> None:
    assert len(TYPED) >= 4


@pytest.mark.parametrize("command", TYPED)
def test_jobs_take_what_the_readme_types(command: str) -> None:
    read_command(command)


@pytest.mark.parametrize("name", [name for name in JOBS if name != "ingest"])
def test_workers_of_a_job_fit_on_the_nodes_that_its_cluster_may_have(name: str) -> None:
    config: Any = read_command(ENTRYPOINTS[name])[1]
    most = config.num_workers if isinstance(config.num_workers, int) else config.num_workers[-1]
    worker = config.worker
    if name == "plan":
        most = 1  # it measures, on one node
    assert most * worker.num_gpus <= gpus_of(name)
    assert worker.num_gpus == 1
    group = group_of(name, "gpu")
    assert worker.num_cpus <= int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert worker.num_threads <= worker.num_cpus


def group_of(job: str, name: str) -> dict[str, Any]:
    """A group of workers of a job's cluster."""
    spec = cluster_spec(ray_job(job))
    assert spec is not None
    found: dict[str, Any] = next(group for group in spec["workerGroupSpecs"] if group["groupName"] == name)
    return found


def gpus_of(job: str) -> int:
    """GPUs that a job's cluster may have."""
    group = group_of(job, "gpu")
    return int(group["maxReplicas"]) * int(
        group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    )


def test_ingest_needs_no_gpu_and_its_cluster_has_none() -> None:
    spec = cluster_spec(ray_job("ingest"))
    assert spec is not None
    assert [group["groupName"] for group in spec["workerGroupSpecs"]] == ["cpu"]


def test_a_plan_is_measured_on_a_node_like_those_that_it_plans_for() -> None:
    job, config = ray_job("plan")["spec"], read_command(ENTRYPOINTS["plan"])[1]
    worker: Any = config.worker  # type: ignore[attr-defined]  # of PlanConfig
    assert (job["entrypointNumGpus"], job["entrypointNumCpus"]) == (worker.num_gpus, worker.num_cpus)


def test_a_plan_is_for_the_run_that_bulk_starts() -> None:
    of_plan, of_bulk = (set(ENTRYPOINTS[name].split()[2:]) for name in ("plan", "bulk"))
    assert of_bulk <= of_plan
    assert all(word.startswith("plan.") for word in of_plan - of_bulk)


def test_files_that_commands_name_are_there() -> None:
    named = set(re.findall(r"cluster/[\w./-]+\.(?:yaml|py)", "\n".join(texts().values())))
    assert {"cluster/aws.yaml", "cluster/compose/compose.yaml", "cluster/write_service.py"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 3
    assert [link for link in links if not (CLUSTER / link).exists()] == []
