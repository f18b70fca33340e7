"""What finished phases leave behind, recognised by digest and trusted only when whole.

A phase lives at `phases/<name>-<digest>/`: its checkpoints, its output files below `output/`, and `done.json`, written
last, which lists every output file with its SHA-256. The digest covers the phase's configuration, the data and the
digests of the phases it builds on, so a changed setting starts a new folder and an unchanged one is not run again.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.storage import ObjectMissing, Store, is_local, local_path

_DONE = "done.json"
_OUTPUT = "output"


@dataclass(frozen=True)
class PhaseRecord:
    """A finished phase.

    Attributes:
        phase: Its name.
        digest: What it was made of; see the module's docstring.
        num_steps: Optimizer steps done.
        validation: Metrics of the last validation.
        losses: Logged loss terms, each with its `step`.
        validations: All validations, each with its `step`.
        files: SHA-256 of every output file, by relative name.
    """

    phase: str
    digest: str
    num_steps: int
    validation: dict[str, float]
    losses: list[dict[str, float]]
    validations: list[dict[str, float]]
    files: dict[str, str]

    @property
    def output_digest(self) -> str:
        """One SHA-256 over the output files."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


class PhaseFolder:
    """One phase's place in the output.

    Args:
        home: Root of everything durable.
        phase: Phase name.
        digest: Hexadecimal digest; see the module's docstring.
    """

    def __init__(self, home: Store, phase: str, digest: str) -> None:
        self.phase = phase
        self.digest = digest
        self.store = home.child(f"phases/{phase}-{digest[:16]}")

    @property
    def checkpoints(self) -> Store:
        """Where the phase's checkpoints lie."""
        return self.store.child("checkpoints")

    def record(self) -> PhaseRecord | None:
        """The record of a finished phase whose every file is present and unchanged, or None."""
        try:
            values: dict[str, Any] = json.loads(self.store.read_bytes(_DONE))
            record = PhaseRecord(**values)
            for name, digest in record.files.items():
                if hashlib.sha256(self.store.read_bytes(f"{_OUTPUT}/{name}")).hexdigest() != digest:
                    return None
        except (ObjectMissing, ValueError, TypeError):
            return None
        return record if record.digest == self.digest else None

    def commit(self, output: Path, **values: Any) -> PhaseRecord:  # noqa: ANN401  # the record's own fields
        """Store a folder of output files, then the record that vouches for them."""
        names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
        files = {}
        for name in names:
            data = (output / name).read_bytes()
            self.store.write_bytes(f"{_OUTPUT}/{name}", data)
            files[name] = hashlib.sha256(data).hexdigest()
        record = PhaseRecord(phase=self.phase, digest=self.digest, files=files, **values)
        self.store.write_bytes(_DONE, json.dumps(asdict(record), indent=1, sort_keys=True).encode())
        return record

    def fetch_output(self) -> Path:
        """The output files as a local folder; copied to a temporary one from an object store."""
        uri = self.store.child(_OUTPUT).uri
        if is_local(uri):
            return local_path(uri)
        folder = Path(tempfile.mkdtemp(prefix=f"rssr-{self.phase}-"))
        self.store.download_folder(_OUTPUT, folder)
        return folder

    def forget(self) -> None:
        """Delete the phase's record, checkpoints and output."""
        self.store.delete(_DONE)
        self.store.delete_prefix("")
