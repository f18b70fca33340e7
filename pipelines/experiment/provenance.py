"""What a run was made of, as parts of a report: images, versions, configuration."""

from collections.abc import Iterable
from importlib.metadata import version

from pipelines.experiment.training import Plan
from pipelines.report import Column, Part, facts, listing, notice, table
from pipelines.tracking.code_version import code_version_tags
from pipelines.tracking.secrecy import mask_secrets
from rssr.configuration import to_yaml

_MAX_SKIPPED = 50
_LIBRARIES = ("torch", "diffusers", "peft", "ray", "mlflow")


def images(plan: Plan) -> Iterable[Part]:
    """Which images a run used, and which it had to convert or skip."""
    manifest = plan.manifest
    yield facts(
        {
            "sources": ", ".join(manifest.sources),
            "training images": len(manifest.split("train")),
            "held-out images": len(manifest.split("test")),
            "skipped": len(manifest.skipped),
            "manifest digest": manifest.digest,
        }
    )
    if manifest.conversions:
        yield facts({f"converted: {kind}": count for kind, count in sorted(manifest.conversions.items())})
    if manifest.skipped:
        yield notice(f"{len(manifest.skipped)} files were skipped.", "warning")
        rows = [{"key": skipped.key, "reason": skipped.reason} for skipped in manifest.skipped[:_MAX_SKIPPED]]
        yield table([Column("key", "File"), Column("reason", "Reason")], rows)


def provenance(plan: Plan, tracking_uri: str, run_id: str) -> Iterable[Part]:
    """Versions, where the run is tracked, and its whole configuration."""
    code = code_version_tags()
    rssr = {"rssr": code["rssr.version"], "commit": code.get("mlflow.source.git.commit", "unknown")}
    yield facts(rssr | {name: version(name) for name in _LIBRARIES})
    yield facts({"MLflow store": tracking_uri, "MLflow run": run_id})
    yield listing(mask_secrets(to_yaml(plan.config)), "Resolved configuration")
