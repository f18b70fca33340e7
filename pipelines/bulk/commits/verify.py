"""Whether a finished run is what its plan and its ledger say: the proof before computed windows are deleted."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

from pipelines.bulk.commits.ledger import Ledger
from pipelines.bulk.commits.verify_product import SceneToCheck
from pipelines.bulk.records import WORK_FOLDER, PlannedScene, SceneRecord
from pipelines.storage import Entry, Store
from rssr.errors import StorageError

NUM_CHECKS = 8
"""Scenes that a process checks at a time; each has a piece of a file in memory."""

Found = tuple[str, tuple[str, ...]]
"""Name of a scene, and what is wrong with it, in sentences."""

Check = Callable[[Sequence[SceneToCheck]], Iterable[Found]]
"""Checks scenes; what is found comes in any order."""

_OWN_FOLDERS = ("_run/", f"{WORK_FOLDER}/")
_NUM_NAMED = 20


@dataclass(frozen=True)
class Problem:
    """Something that is wrong.

    Attributes:
        scene: Its name.
        sentence: What it is.
    """

    scene: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.scene}: {self.sentence}"


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        problems: What is wrong, by scene, in the order of the plan.
        warnings: What is strange and harms nothing, in sentences.
        num_scenes: Planned scenes.
        states: How many scenes ended how.
        num_files: Files that were compared with the ledger.
        num_bytes: Their size.
    """

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    num_scenes: int
    states: Mapping[str, int]
    num_files: int
    num_bytes: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong; scenes that failed by name are not."""
        return not self.problems

    def summary(self) -> str:
        """For people, some lines."""
        ended = ", ".join(f"{number} {state}" for state, number in sorted(self.states.items())) or "none finished"
        lines = [
            f"Verified {self.num_scenes} scenes ({ended}): {self.num_files} files, {self.num_bytes / 1e9:.3f} GB.",
            *(f"Warning: {warning}" for warning in self.warnings),
            *(f"Problem: {problem}" for problem in self.problems[:_NUM_NAMED]),
        ]
        if len(self.problems) > _NUM_NAMED:
            lines.append(f"... and {len(self.problems) - _NUM_NAMED} more problems.")
        if self.is_sound:
            lines.append("Every scene has a product or a named failure, and every file is what was written.")
        return "\n".join(lines)


def verify_run(
    store: Store,
    planned: Sequence[PlannedScene],
    progress: Callable[[int, int], None] | None = None,
    check: Check | None = None,
) -> Verification:
    """Check a run: an entry of the ledger for every scene, and every file of it as it was written.

    All files are read once. Nothing is written.

    Args:
        store: The output.
        planned: All scenes of the run.
        progress: Called with the number of checked scenes and of all.
        check: Reads the files; None does it in threads of this process.

    Raises:
        StorageError: The output cannot be read.
    """
    listed = {entry.key: entry for entry in store.list()}
    records = Ledger(store).read_all()
    scenes = [_to_check(scene, records.get(scene.name), listed) for scene in planned]
    found: dict[str, tuple[str, ...]] = {}
    for name, wrong in (check or partial(check_here, store))(scenes):
        found[name] = wrong
        if progress is not None:
            progress(len(found), len(planned))
    owners = Counter(file.key for record in records.values() for file in record.files)
    problems = [Problem(scene.name, sentence) for scene in planned for sentence in found[scene.name]]
    problems += [
        Problem(record.name, f"{store.describe(file.key)} is named by other scenes too.")
        for record in records.values()
        for file in record.files
        if owners[file.key] > 1
    ]
    checked = [records[scene.name] for scene in planned if scene.name in records]
    return Verification(
        tuple(problems),
        tuple(_warnings(store, planned, records, listed)),
        len(planned),
        Counter(record.state for record in checked),
        sum(len(record.files) for record in checked),
        sum(file.num_bytes for record in checked for file in record.files),
    )


def delete_work(store: Store, verification: Verification) -> int:
    """Remove the computed windows of a run that was found sound; returns the number of objects.

    Raises:
        StorageError: It was not found sound, or cannot be written to.
    """
    if not verification.is_sound:
        raise StorageError(
            f"{store.describe(WORK_FOLDER)} is kept, since the run is not sound: {verification.problems[0]}",
            "Run the same command again.",
        )
    num_objects = store.delete_prefix(WORK_FOLDER)
    store.delete(f"{WORK_FOLDER}/nothing")  # a local folder in which files were only made goes with it
    return num_objects


def check_here(store: Store, scenes: Sequence[SceneToCheck]) -> Iterator[Found]:
    """Check scenes in threads of this process.

    Raises:
        StorageError: The store cannot be read.
    """
    with ThreadPoolExecutor(max(1, min(NUM_CHECKS, len(scenes)))) as pool:
        futures = {pool.submit(scene.problems, store): scene.name for scene in scenes}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _to_check(planned: PlannedScene, record: SceneRecord | None, listed: Mapping[str, Entry]) -> SceneToCheck:
    keys = [] if record is None else [file.key for file in record.files if file.key in listed]
    return SceneToCheck(planned, record, {key: listed[key] for key in keys})


def _warnings(
    store: Store, planned: Sequence[PlannedScene], records: Mapping[str, SceneRecord], listed: Mapping[str, Entry]
) -> list[str]:
    named = {file.key for record in records.values() for file in record.files}
    strays = [key for key in listed if key not in named and not key.startswith(_OWN_FOLDERS)]
    unplanned = sorted(records.keys() - {scene.name for scene in planned})
    warnings = []
    if strays:
        warnings.append(f"{len(strays)} files in {store.uri} belong to no scene of the ledger: {_some(strays)}.")
    if unplanned:
        warnings.append(f"{len(unplanned)} scenes of the ledger are not in the plan: {_some(unplanned)}.")
    return warnings


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more
