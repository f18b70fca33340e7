"""What finished phases leave behind, recognised by digest and trusted only when whole.

A phase lives at `phases/<name>-<digest>/`: its checkpoints, its output files below `output/`, and `done.json`, written
last, which lists every output file with its SHA-256. The digest covers the phase's configuration, the data and the
digests of the phases it builds on, so a changed setting starts a new folder and an unchanged one is not run again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.storage import ObjectMissing, Store, local_path

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
        return _sha256(json.dumps(self.files, sort_keys=True).encode())


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
        self._home = home
        self._name = f"phases/{phase}-{digest[:16]}"
        self.store = home.child(self._name)

    @property
    def checkpoints(self) -> Store:
        """Where the phase's checkpoints lie."""
        return self.store.child("checkpoints")

    def record(self) -> PhaseRecord | None:
        """The record of a finished phase whose every file is present and unchanged, or None."""
        try:
            record = PhaseRecord(**json.loads(self.store.read_bytes(_DONE)))
        except (ObjectMissing, ValueError, TypeError):
            return None
        if record.digest != self.digest or not isinstance(record.files, dict):
            return None
        return record if self._is_whole(record.files) else None

    def commit(self, output: Path, **values: Any) -> PhaseRecord:  # noqa: ANN401  # the record's own fields
        """Store a folder of output files, then the record that vouches for them; nothing older stays."""
        names = sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file())
        self.store.delete(_DONE)
        for name in self._output_names().difference(names):
            self.store.delete(f"{_OUTPUT}/{name}")
        files = {}
        for name in names:
            data = (output / name).read_bytes()
            self.store.write_bytes(f"{_OUTPUT}/{name}", data)
            files[name] = _sha256(data)
        record = PhaseRecord(phase=self.phase, digest=self.digest, files=files, **values)
        self.store.write_bytes(_DONE, json.dumps(asdict(record), indent=1, sort_keys=True).encode())
        return record

    def fetch_output(self, work: Path) -> Path:
        """The output files as a local folder; from an object store they are copied to a new one below `work`."""
        local = local_path(self.store.child(_OUTPUT).uri)
        if local is not None:
            return local
        folder = work / f"{self.phase}-{self.digest[:16]}"
        self.store.download_folder(_OUTPUT, folder)
        return folder

    def forget(self) -> None:
        """Delete the phase's record, checkpoints and output."""
        self.store.delete(_DONE)  # first: what is killed here leaves no record
        self._home.delete_prefix(self._name)

    def _is_whole(self, files: Mapping[str, str]) -> bool:
        if not self._output_names().issuperset(files):
            return False
        try:
            return all(_sha256(self.store.read_bytes(f"{_OUTPUT}/{name}")) == files[name] for name in files)
        except ObjectMissing:
            return False  # removed since it was listed

    def _output_names(self) -> set[str]:
        return {entry.key.removeprefix(f"{_OUTPUT}/") for entry in self.store.list(_OUTPUT)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
