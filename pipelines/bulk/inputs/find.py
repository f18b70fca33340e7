"""Find the scenes among the inputs of a bulk run, and name them."""

from collections.abc import Mapping, Sequence

from pipelines.bulk.inputs.found import FoundScene, identity_of
from pipelines.bulk.inputs.listing import find_in
from pipelines.bulk.inputs.names import name_scenes
from pipelines.bulk.inputs.places import OutputPlace
from pipelines.bulk.inputs.search import Search
from pipelines.bulk.planning.plan_files import read_plan
from pipelines.bulk.records import InputScene
from pipelines.progress import printable
from pipelines.storage import StorageSettings, Store
from rssr.errors import DataError

_NUM_EXAMPLES = 3


def find_scenes(
    inputs: Sequence[str], settings: StorageSettings | None, output: Store, *, fresh: bool = False
) -> list[InputScene]:
    """All scenes of the inputs, sorted by name.

    Names depend neither on the order in which stores list their objects nor, for scenes that were planned in this
    output before, on what was added since. A scene that several inputs lead to is there once.

    Args:
        inputs: See `BulkConfig.input`.
        settings: How to reach S3; None reads the environment.
        output: Where products go; where that is a folder below an input, it is left out.
        fresh: Whether a run that the output holds will be forgotten, and with it its names.

    Raises:
        ConfigError: An input is the output or lies in it, or a pattern leaves the bucket open.
        DataError: An input holds no scene.
        StorageError: A store cannot be reached, or an input cannot be read.
    """
    search = Search(settings, OutputPlace(output))
    distinct: dict[str, FoundScene] = {}
    for uri in inputs:
        listings = search.listings(uri)
        found = [scene for listing in listings for scene in find_in(listing, settings)]
        if not found:
            raise search.nothing_found(uri, listings)
        for scene in sorted(found, key=lambda scene: scene.identity):
            distinct.setdefault(scene.identity, scene)
    scenes = list(distinct.values())
    _require_text(scenes)
    names = name_scenes(scenes, {} if fresh else _known_names(output))
    named = [scene.named(name) for scene, name in zip(scenes, names, strict=True)]
    return sorted(named, key=lambda scene: scene.name)


def _known_names(output: Store) -> Mapping[str, str]:
    planned = (one.scene for one in read_plan(output))
    return {identity_of(scene.location, scene.key): scene.name for scene in planned}


def _require_text(scenes: Sequence[FoundScene]) -> None:
    """Local files may be called by any bytes, but neither records nor products can name them then.

    Raises:
        DataError: With examples.
    """
    odd = [scene.identity for scene in scenes if scene.identity != scene.identity.encode(errors="ignore").decode()]
    if odd:
        named = ", ".join(printable(identity) for identity in odd[:_NUM_EXAMPLES])
        raise DataError(
            f"{len(odd)} scenes have names that are not UTF-8: {named}.",
            "Rename them (convmv -f latin1 -t utf8 --notest), or leave them out by a pattern.",
        )
