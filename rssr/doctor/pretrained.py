"""Weights that others have trained: whether they are here is worth knowing, and no failure."""

from pathlib import Path

from rssr.doctor.finding import DoctorOptions, Finding, failed, ok, skipped


def check_base_weights(options: DoctorOptions) -> Finding:
    """Stable Diffusion and TAESD, on which SlimDiffSR is trained as published."""
    from rssr.weights.base import STABLE_DIFFUSION, TINY_AUTOENCODER, BaseLocations, find_missing

    if options.base_weights is None:
        return _in_cache(STABLE_DIFFUSION, TINY_AUTOENCODER)
    folder = str(options.base_weights)
    missing = find_missing(BaseLocations(folder, _tiny_autoencoder(options.base_weights)))
    if not missing:
        return ok("weights.base", f"Stable Diffusion and TAESD in {folder}")
    names = ", ".join(item.name for item in missing)
    return failed("weights.base", f"{names} cannot be used", " && ".join(f"`{item.command}`" for item in missing))


def check_metric_weights(options: DoctorOptions) -> Finding:
    """The networks of learned metrics, such as LPIPS."""
    from rssr.metrics.learned_specs import LEARNED_SPECS
    from rssr.metrics.weight_files import INSTALL_COMMAND, fetch_command, find_missing, metric_weights_folder

    folder, names = metric_weights_folder(), [spec.name for spec in LEARNED_SPECS]
    missing = find_missing(names)
    if not missing:
        return ok("weights.metrics", f"{', '.join(names)} in {folder}")
    found = [name for name in names if name not in missing]
    here = f"{', '.join(found)} can be measured; " if found else ""
    install = f"{INSTALL_COMMAND} && " if any("pyiqa" in item.place for item in missing.values()) else ""
    return skipped(
        "weights.metrics",
        f"{here}not {', '.join(missing)}: files that these need are not in {folder}",
        f"On a machine with a network: {install}{fetch_command(missing, folder)}",
    )


def _in_cache(*hub_ids: str) -> Finding:
    """Looked for where the hub's client keeps what it fetched; nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    names = {hub_ids[0]: "unet/config.json", hub_ids[1]: "config.json"}
    absent = [hub_id for hub_id, name in names.items() if not isinstance(try_to_load_from_cache(hub_id, name), str)]
    if not absent:
        return ok("weights.base", f"{' and '.join(hub_ids)} in the hub's cache")
    return skipped(
        "weights.base",
        f"{' and '.join(absent)} not in the hub's cache; SlimDiffSR's quickstart trains small stand-ins instead",
        "On a machine with a network: "
        + " && ".join(f"hf download {hub_id} --local-dir DIR" for hub_id in absent)
        + "; then look at it with --base-weights DIR.",
    )


def _tiny_autoencoder(folder: Path) -> str:
    """Beside or below Stable Diffusion's directory, wherever it is."""
    beside = folder.parent / "taesd"
    return str(beside if beside.is_dir() and not (folder / "taesd").is_dir() else folder / "taesd")
