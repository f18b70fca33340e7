"""An archive's scenes page by page, and the files of their products: from the plan and the ledger of its run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.scene_keys import scene_part
from pipelines.bulk.inputs.names import LAYERS
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.records import LEDGER_FOLDER, MARKED_FOLDER, PLAN_FOLDER, PlannedScene, ProductFile, SceneRecord
from pipelines.bulk.result import SceneResult
from pipelines.bulk.threads import in_threads
from pipelines.serving.archives.api import Item, ItemFile, PageQuery
from pipelines.serving.archives.recent import Recent
from pipelines.storage import Store

_MOST_READ = 2000  # entries of the ledger for one page: where few are in the state asked for, pages are short
_BATCH = 200
_NUM_KEPT = 8  # kept in memory


@dataclass(frozen=True)
class Place:
    """Where an archive's products lie, as callers see it.

    Attributes:
        store: The output.
        href: Path that files are downloaded below; None where the output is the caller's own.
        shown: Makes a text fit to be told to callers.
        has_ended: Whether nothing is added any more.
    """

    store: Store
    href: str | None
    shown: Callable[[str], str]
    has_ended: bool = False


class ItemReader:
    """Reads scenes of archives; plans are kept for the next page. Safe to use from several threads."""

    def __init__(self) -> None:
        self._plans: Recent[tuple[str, tuple[str, ...]], list[PlannedScene]] = Recent(_NUM_KEPT)
        self._ledgers: Recent[str, frozenset[str]] = Recent(_NUM_KEPT)

    def page(self, place: Place, query: PageQuery) -> tuple[list[Item], str]:
        """Scenes by name, behind the cursor.

        Without a state these are the scenes that are finished or refused; those that wait are told where they are
        asked for.

        Args:
            place: The archive's.
            query: Which of them.

        Returns:
            The scenes, and the cursor of the next page; empty where there is none.

        Raises:
            DataError: The plan is damaged.
            StorageError: The store fails.
        """
        finished = self._finished(place)
        wanted = [scene for scene in self._plan(place.store) if scene.name > query.cursor]
        looked_at = [scene for scene in wanted if _may_be(scene, finished, query.state)]
        found: list[SceneResult] = []
        for scene_result, is_last in _read(place.store, looked_at[:_MOST_READ]):
            if query.state in (None, scene_result.outcome):
                found.append(scene_result)
            if len(found) == query.limit and not (is_last and len(looked_at) <= _MOST_READ):
                return [_item(place, result) for result in found], scene_result.name
        cursor = looked_at[_MOST_READ - 1].name if len(looked_at) > _MOST_READ else ""
        return [_item(place, result) for result in found], cursor

    @staticmethod
    def file(place: Place, path: str) -> ProductFile | None:
        """A file of a product, by its key; None where the ledger names none.

        Raises:
            StorageError: The store fails.
        """
        ledger, base = Ledger(place.store), path.removeprefix(f"{MARKED_FOLDER}/").rpartition(".")[0]
        for name in dict.fromkeys(base.removesuffix(layer) for layer in LAYERS):
            record = ledger.read(name) if name else None
            found = next((file for file in record.files if file.key == path), None) if record is not None else None
            if found is not None:
                return found
        return None

    def _finished(self, place: Place) -> frozenset[str]:
        """Keys of the ledger's entries; of a run that has ended they are listed once for all its pages."""

        def listed() -> frozenset[str]:
            return frozenset(entry.key for entry in place.store.list(LEDGER_FOLDER))

        return self._ledgers.get(place.store.uri, listed) if place.has_ended else listed()

    def _plan(self, store: Store) -> list[PlannedScene]:
        """All planned scenes by name; empty before they are planned."""
        versions = tuple(f"{entry.key} {entry.version}" for entry in store.list(PLAN_FOLDER))
        return self._plans.get((store.uri, versions), lambda: sorted(read_plan(store), key=lambda scene: scene.name))


def _may_be(scene: PlannedScene, finished: frozenset[str], state: str | None) -> bool:
    """Whether a scene can be in a state, as far as that is known without its entry in the ledger."""
    if scene.refusal:
        return state in (None, "refused")
    if f"{LEDGER_FOLDER}/{scene_part(scene.name)}.json" not in finished:
        return state == "waiting"
    return state not in ("waiting", "refused")


def _read(store: Store, scenes: Sequence[PlannedScene]) -> Iterator[tuple[SceneResult, bool]]:
    """Scenes with their entries, and whether each is the last."""
    ledger, left, number = Ledger(store), iter(scenes), 0
    while batch := list(islice(left, _BATCH)):
        for scene, record in zip(batch, in_threads(lambda one: ledger.read(one.name), batch), strict=True):
            number += 1
            yield SceneResult(scene, record), number == len(scenes)


def _item(place: Place, result: SceneResult) -> Item:
    record: SceneRecord | None = result.product
    return Item(
        name=result.name,
        state=result.outcome,
        reason=place.shown(result.reason) or None,
        seam_score=None if record is None else record.seam_score,
        files=[] if record is None else [_file(place, file) for file in record.files],
    )


def _file(place: Place, file: ProductFile) -> ItemFile:
    is_own = place.href is None
    return ItemFile(
        name=file.key,
        role=file.role,
        bytes=file.num_bytes,
        sha256=file.sha256,
        href=None if is_own else f"{place.href}/{quote(file.key)}",
        uri=place.store.describe(file.key) if is_own else None,
    )
