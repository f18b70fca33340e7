"""Where a job's MLflow store lies: the one decision that every job makes alike."""

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.storage import is_local, join_uri, local_path, open_store, redact
from pipelines.tracking.backup import DatabaseBackup
from pipelines.tracking.config import TrackingConfig
from pipelines.tracking.errors import TrackingError
from rssr.errors import StorageError

_log = logging.getLogger(__name__)

ENVIRONMENT_VARIABLE = "MLFLOW_TRACKING_URI"
_DATABASE_NAME = "mlflow.db"
_BACKUP_FOLDER = "mlflow"
_ARTIFACT_FOLDER = "mlflow-artifacts"
_SQLITE = "sqlite:///"
_DATABASES = ("postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class TrackingLocation:
    """A resolved MLflow store.

    Args:
        tracking_uri: What MLflow's client opens.
        artifact_location: Where new experiments keep artifacts; None leaves it to the server.
        copies: Keeps a SQLite file safe in object storage; None where the store is durable itself.
    """

    tracking_uri: str
    artifact_location: str | None
    copies: DatabaseBackup | None = None

    @property
    def is_shared(self) -> bool:
        """Whether processes on other machines can reach the store; a SQLite file is this machine's alone."""
        return not self.tracking_uri.startswith(_SQLITE)

    def restore(self) -> None:
        """Bring the SQLite file from object storage where this machine has none, or an outdated one."""
        if self.copies is not None:
            self.copies.restore()

    def backup(self) -> bool:
        """Put a consistent copy of the SQLite file into object storage; nothing to do for other stores.

        A store that does not take it is warned of, and must not end a job in the middle: the next backup has all.

        Returns:
            Whether everything that is recorded so far is durable.
        """
        if self.copies is None:
            return True
        try:
            self.copies.backup()
        except StorageError as error:
            _log.warning("The MLflow database is not backed up: %s It remains at %s.", error, self.copies.database)
            return False
        return True


def resolve_tracking(
    config: TrackingConfig,
    output_uri: str,
    state_folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> TrackingLocation:
    """Decide where the MLflow store lies. Touches nothing.

    The configured URI comes first, then MLFLOW_TRACKING_URI, then a SQLite file below the output. Where the
    output is an object store, SQLite works on a local file that is backed up to `<output>/mlflow/mlflow.db`.

    Args:
        config: `config.tracking_uri` may name a server or database.
        output_uri: The job's `output.uri`: an absolute path or a URI.
        state_folder: Root for the local SQLite files of remote outputs; None is the user's state folder.
        environment: Environment variables; None reads the process's own.

    Raises:
        TrackingError: The URI is not one that this project works with.
    """
    variables = os.environ if environment is None else environment
    explicit = config.tracking_uri or variables.get(ENVIRONMENT_VARIABLE)
    if explicit:
        uri = _checked(explicit)
        is_server = uri.startswith(("http://", "https://"))
        return TrackingLocation(uri, None if is_server else _artifacts(output_uri))
    folder = local_path(output_uri)
    if folder is not None:
        return TrackingLocation(_sqlite_uri(folder / _DATABASE_NAME), _artifacts(output_uri))
    database = _state_folder(state_folder, variables, output_uri) / _DATABASE_NAME
    copies = DatabaseBackup(database, open_store(join_uri(output_uri, _BACKUP_FOLDER)), _DATABASE_NAME)
    return TrackingLocation(_sqlite_uri(database), _artifacts(output_uri), copies)


def sqlite_path(tracking_uri: str) -> Path | None:
    """The file behind a SQLite URI; None for other stores."""
    return Path(tracking_uri.removeprefix(_SQLITE)) if tracking_uri.startswith(_SQLITE) else None


def _checked(uri: str) -> str:
    scheme = uri.partition(":")[0].lower()
    if scheme in ("http", "https") or scheme.partition("+")[0] in _DATABASES:
        return uri.rstrip("/")
    if uri.startswith(_SQLITE) and len(uri) > len(_SQLITE):
        path = Path(uri.removeprefix(_SQLITE)).expanduser()
        return _sqlite_uri(path.absolute())  # workers have other working directories
    raise TrackingError(
        f"'{redact(uri)}' is not a tracking URI that can be used.",
        f"Set mlflow.tracking_uri or {ENVIRONMENT_VARIABLE} to http(s)://HOST:PORT, sqlite:////FOLDER/mlflow.db "
        "or postgresql://..., or leave both out to keep the store below output.uri.",
    )


def _sqlite_uri(path: Path) -> str:
    if any(mark in str(path) for mark in "?%"):  # SQLAlchemy reads these as query and escape
        raise TrackingError(f"MLflow cannot keep a database at {path}.", "Choose a folder without ? and % in its name.")
    return f"{_SQLITE}{path}"


def _artifacts(output_uri: str) -> str:
    folder = local_path(output_uri) if is_local(output_uri) else None
    return (folder / _ARTIFACT_FOLDER).as_uri() if folder is not None else join_uri(output_uri, _ARTIFACT_FOLDER)


def _state_folder(root: Path | None, variables: Mapping[str, str], output_uri: str) -> Path:
    if root is None:
        home = variables.get("XDG_STATE_HOME")
        root = (Path(home) if home else Path.home() / ".local" / "state") / "rssr" / "mlflow"
    # One file an output: its name must not depend on how the URI's end is written.
    return root.absolute() / hashlib.sha256(output_uri.rstrip("/").encode()).hexdigest()[:16]
