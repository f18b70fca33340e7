"""What a bulk run knows of scenes, windows and products: plain values, as they lie in the output.

Layout of an output:

    NAME.tif, NAME_uncertainty.tif, NAME_consistency.tif, NAME.png, NAME.json   products of a scene, its STAC item last
    _marked/NAME.tif ...                   the same of scenes on which tiles show: not published as good
    _run/run.json                          what this output is a run of, and when it was planned: never changes
    _run/plan/NNNN.parquet                 scenes, in the order in which they were found; a later listing adds a file
    _run/ledger/...json                    one a scene that is finished: what became of it
    _run/ledger.parquet                    the same as one table, written at the end
    _run/model/...                         the model, so that workers elsewhere and later commands find the same
    _run/progress.json                     how far it is, written every few seconds
    _run/failures.jsonl                    scenes and windows that failed, and why, written at the end
    _run/report.html                       the page, written at the end
    _work/NAME/rNNNNcNNNN                  computed windows, until the run is verified
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

RUN_KEY = "_run/run.json"
PLAN_FOLDER = "_run/plan"
LEDGER_FOLDER = "_run/ledger"
LEDGER_TABLE = "_run/ledger.parquet"
FAILURES_KEY = "_run/failures.jsonl"
REPORT_KEY = "_run/report.html"
WORK_FOLDER = "_work"
DRIVER_LEASE = "_run/driver"
"""Flags of the one process that leads the run in an output; see `pipelines.leases`."""
MARKED_FOLDER = "_marked"

SceneKind = Literal["raster", "picture", "product"]
"""A georeferenced raster; a picture; a Sentinel-2 product (SAFE folder, STAC item, group of band files)."""

SceneState = Literal["done", "marked", "partial", "failed"]
"""Published; written below `_marked/` since its tiles show; published with windows masked that failed; nothing was
written."""

FileRole = Literal["data", "uncertainty", "consistency", "thumbnail", "metadata"]


@dataclass(frozen=True)
class InputScene:
    """One scene among the inputs.

    Attributes:
        name: Of its product: the object key below its input without the ending, e.g. `2021/T32TQS`. Unique in a run,
            and safe as an object key and file name.
        location: URI of the store that it lies in, as `pipelines.storage.open_store` takes it.
        key: Below that location: an object, or a SAFE folder (empty where the location is one).
        kind: How it is opened.
        num_bytes: Of all its objects.
        version: Of all its objects; changes when the content may have changed.
    """

    name: str
    location: str
    key: str
    kind: SceneKind
    num_bytes: int
    version: str

    @property
    def uri(self) -> str:
        """Its address, for people."""
        return f"{self.location.rstrip('/')}/{self.key}".rstrip("/") if self.key else self.location


@dataclass(frozen=True)
class PlannedScene:
    """A scene as it is planned; all of it depends on the scene's header, the model and the configuration alone.

    Attributes:
        scene: The input.
        refusal: Why it cannot be run, in a sentence, e.g. for want of a band; empty where it can. What follows is then
            zero and empty as far as it is not known.
        lr_size: (H, W), pixels.
        sr_size: (H, W) of the product.
        dtype: Of the product.
        band_names: Of the product.
        crs: Of both; None where the scene has none.
        bounds: West, south, east, north of the footprint, degrees; None without CRS.
        gsd_m: Ground sample distance of the scene, metres; None where unknown.
        tile_size: LR pixels of a tile.
        halo: LR pixels of context.
        num_tiles: Tiles of the scene.
        windows: Keys of its windows, see `rssr.windows.TileWindow.key`.
    """

    scene: InputScene
    refusal: str = ""
    lr_size: tuple[int, int] = (0, 0)
    sr_size: tuple[int, int] = (0, 0)
    dtype: str = ""
    band_names: tuple[str, ...] = ()
    crs: str | None = None
    bounds: tuple[float, float, float, float] | None = None
    gsd_m: float | None = None
    tile_size: int = 0
    halo: int = 0
    num_tiles: int = 0
    windows: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the scene and its products."""
        return self.scene.name


@dataclass(frozen=True)
class RunIdentity:
    """What an output is a run of. Times in products come from here, so that a resumed run writes the same bytes.

    Attributes:
        digest: SHA-256 of `values` and `model_digest`: another one in the same output is refused.
        model: As configured, an alias resolved to its version, e.g. `models:/ldcsr/3`.
        model_digest: SHA-256 of the model folder; empty for `bicubic`.
        values: `BulkConfig.product_values()`.
        planned_at: When the run was first planned, e.g. `2026-11-29T04:25:00Z`.
        software: Version of each library that shapes products, by name.
    """

    digest: str
    model: str
    model_digest: str
    values: Mapping[str, Any]
    planned_at: str
    software: Mapping[str, str]

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote."""
        return cls(**json.loads(data))


@dataclass(frozen=True)
class ProductFile:
    """A file of a product.

    Attributes:
        key: Below the output.
        role: What it holds.
        num_bytes: Size.
        sha256: Digest of its content.
    """

    key: str
    role: FileRole
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class FailedWindow:
    """A window that is masked in its product.

    Attributes:
        key: Of the window.
        reason: Why, in a sentence.
        rows: First and one-past-last SR row of the masked rectangle.
        columns: The same of columns.
    """

    key: str
    reason: str
    rows: tuple[int, int]
    columns: tuple[int, int]


@dataclass(frozen=True)
class SceneRecord:
    """What became of a scene: the ledger's entry, written once all its files are there.

    Attributes:
        name: Of the scene.
        state: How it ended.
        reason: Why nothing was written, or why it is marked or partial; empty where it is done.
        input_uri: Of the scene.
        input_version: Of the scene as it was read.
        files: Of the product; empty where nothing was written.
        sr_size: (H, W) of the product.
        num_tiles: Tiles of the scene.
        num_skipped_tiles: Without any data.
        num_splits: How often a batch or tile was halved because memory was short.
        valid_share: Share of the product's pixels that hold data.
        seam_score: 1 where tiles do not show.
        mean_consistency: Mean of the consistency layer, stored units; None where there is none.
        failed_windows: Those that are masked.
        compute_s: Seconds of workers on its windows, all attempts of this run together.
        write_s: Seconds from its computed windows to its committed product.
        finished_at: When, e.g. `2026-11-29T04:25:00Z`.
        worker: Which process wrote it, e.g. `host:1234`.
    """

    name: str
    state: SceneState
    reason: str = ""
    input_uri: str = ""
    input_version: str = ""
    files: tuple[ProductFile, ...] = ()
    sr_size: tuple[int, int] = (0, 0)
    num_tiles: int = 0
    num_skipped_tiles: int = 0
    num_splits: int = 0
    valid_share: float = 0.0
    seam_score: float = 1.0
    mean_consistency: float | None = None
    failed_windows: tuple[FailedWindow, ...] = ()
    compute_s: float = 0.0
    write_s: float = 0.0
    finished_at: str = ""
    worker: str = ""

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return to_json(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """What `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        values = json.loads(data)
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(cls)}:
            raise ValueError("no entry of a ledger")
        files = tuple(ProductFile(**file) for file in values.pop("files"))
        failed = tuple(
            FailedWindow(window["key"], window["reason"], tuple(window["rows"]), tuple(window["columns"]))
            for window in values.pop("failed_windows")
        )
        return cls(**{**values, "sr_size": tuple(values["sr_size"])}, files=files, failed_windows=failed)


def to_json(record: Any) -> bytes:  # noqa: ANN401  # any of the dataclasses above
    """A record as canonical JSON: the same bytes for the same values."""
    return json.dumps(asdict(record), sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"
