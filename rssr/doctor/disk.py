"""Room for products, and for what is kept beside them while they are made."""

import shutil
import tempfile
import uuid
from pathlib import Path

from rssr.doctor.finding import DoctorOptions, Finding, failed, ok, skipped, warning

_FULL_BYTES = 100 * 2**20  # less does not hold the parts of one product


def check_output_disk(options: DoctorOptions) -> Finding:
    """The folder that jobs shall write to, or the one it would be made in."""
    uri = options.output_uri or "."
    if "://" in uri and not uri.startswith("file://"):
        return skipped("disk.output", f"{uri} is no folder of this machine")
    return _check("disk.output", _nearest(Path(uri.removeprefix("file://"))), options.least_free_bytes)


def check_temporary_disk(options: DoctorOptions) -> Finding:
    """The folder for temporary files: downloads and uploads go through it."""
    return _check("disk.temporary", Path(tempfile.gettempdir()), options.least_free_bytes)


def _nearest(folder: Path) -> Path:
    """The folder, or the one above it that exists."""
    wanted = folder.expanduser().absolute()
    return next(place for place in (wanted, *wanted.parents) if place.exists())


def _check(name: str, folder: Path, least_bytes: int) -> Finding:
    if reason := _refusal(folder):
        remedy = "Give another folder, e.g. --output DIR or TMPDIR, or the right to write there."
        return failed(name, f"{folder} cannot be written to: {reason}", remedy)
    free = shutil.disk_usage(folder).free
    found = f"{folder}: {_in_words(free)} free"
    if free < _FULL_BYTES:
        return failed(name, found, "Make room, or choose another disk.")
    if free < least_bytes:
        return warning(name, f"{found}, less than {_in_words(least_bytes)}", "Make room, or choose another disk.")
    return ok(name, found)


def _refusal(folder: Path) -> str:
    """Why nothing can be written; empty where it can."""
    probe = folder / f".rssr-probe-{uuid.uuid4().hex}"
    try:
        probe.write_bytes(b"probe")
        probe.unlink()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 2**30:.1f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
