"""From a configuration to a run that can begin or go on: its model, its identity, its scenes."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipelines.bulk.config import BulkConfig
from pipelines.bulk.inputs.find import find_scenes
from pipelines.bulk.planning.identity import begun_run, forget_run, open_run, require_same, run_identity
from pipelines.bulk.planning.models import find_model, store_model
from pipelines.bulk.planning.plan_files import plan_numbers, read_plan, write_plan
from pipelines.bulk.planning.scenes import Progress, all_refused, plan_scenes
from pipelines.bulk.records import InputScene, PlannedScene, RunIdentity
from pipelines.models import ModelSource
from pipelines.storage import StorageSettings, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunPlan:
    """The scenes of a run.

    Attributes:
        scenes: All that were ever planned in this output, in the order in which they were found, and those of this
            listing. A scene that has changed since it was planned is refused for that.
        added: Names of those that this listing brought, or that were planned again.
        changed: Names of those that have changed.
    """

    scenes: tuple[PlannedScene, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def refused(self) -> tuple[PlannedScene, ...]:
        """Scenes that cannot be run."""
        return tuple(scene for scene in self.scenes if scene.refusal)


@dataclass(frozen=True)
class PreparedRun:
    """A run that can begin or go on.

    Attributes:
        identity: What it is; its times are those of its beginning.
        model: Where workers load its model from.
        plan: Its scenes.
    """

    identity: RunIdentity
    model: ModelSource
    plan: RunPlan


def prepare_run(
    config: BulkConfig,
    output: Store,
    settings: StorageSettings | None,
    now: datetime,
    progress: Progress,
    *,
    writes: bool = True,
) -> PreparedRun:
    """Find model and scenes, plan what is new, and write the plan down.

    Nothing is written, and nothing of an earlier run forgotten, before all of it has been checked.

    Args:
        config: Of the run.
        output: Where it goes.
        settings: How to reach S3; None reads the environment.
        now: Time of planning, for a run that begins.
        progress: Told of each scene that is planned.
        writes: Whether the run shall begin; an estimate leaves the output alone.

    Raises:
        ConfigError: The output holds another run, or an input is the output.
        DataError: An input holds no scenes, or not one can be run.
        ModelError: There is no such model, or it does not do what is asked for.
        StorageError: A store fails.
    """
    begun = None if config.fresh else begun_run(output)
    model = find_model(config, output, begun, settings)
    identity = run_identity(config, model, now)
    if begun is not None:
        require_same(output, begun, identity)
    scenes = find_scenes(config.input, settings, output, fresh=config.fresh)
    known = [] if config.fresh else read_plan(output)
    plan = extended_plan(known, scenes, config, lambda new: plan_scenes(new, model.load(), config, settings, progress))
    if writes:
        identity = _write(config, output, identity, model, plan)
    return PreparedRun(begun or identity, model, plan)


def extended_plan(
    known: Sequence[PlannedScene],
    scenes: Sequence[InputScene],
    config: BulkConfig,
    plan: Callable[[Sequence[InputScene]], list[PlannedScene]],
) -> RunPlan:
    """What was planned before, with what a new listing brings.

    Args:
        known: Planned before.
        scenes: Of the listing.
        config: Tells whether refused scenes are tried again.
        plan: Plans scenes.

    Raises:
        DataError: Not one scene can be run.
    """
    before = {one.name: one for one in known}
    wanted = [scene for scene in scenes if _is_to_plan(before.get(scene.name), scene, config.retry_failed)]
    added = {one.name: one for one in plan(wanted)} if wanted else {}
    changed = {
        scene.name: _changed(before[scene.name], scene)
        for scene in scenes
        if scene.name in before and scene.name not in added and before[scene.name].scene.version != scene.version
    }
    together = before | added | changed
    if all(one.refusal for one in together.values()):
        raise all_refused(list(together.values()))
    return RunPlan(tuple(together.values()), tuple(added), tuple(changed))


def _is_to_plan(before: PlannedScene | None, scene: InputScene, retries: bool) -> bool:
    """New scenes, and refused ones of which there is hope: nothing was made of them, so nothing can be mixed."""
    if before is None:
        return True
    return bool(before.refusal) and (retries or before.scene.version != scene.version)


def _changed(before: PlannedScene, scene: InputScene) -> PlannedScene:
    return replace(
        before,
        refusal=f"{scene.uri} has changed since it was planned ({before.scene.version} then, {scene.version} now). Put "
        "back what was there, or begin anew: with another output, or with fresh=true.",
    )


def _write(config: BulkConfig, output: Store, identity: RunIdentity, model: ModelSource, plan: RunPlan) -> RunIdentity:
    """Begin the run, or go on with it: its record first, so that a plan always belongs to one."""
    if config.fresh:
        log.info("Forgot an earlier run: %d objects of %s removed.", forget_run(output), output.uri)
    identity = open_run(output, identity)
    store_model(model, output)
    added = set(plan.added)
    new = {one.name: one for one in plan.scenes if one.name in added}
    while new:
        number = max(plan_numbers(output), default=-1) + 1
        if write_plan(output, number, list(new.values())):
            break
        there = {one.name: one.scene.version for one in read_plan(output)}  # another driver was faster
        new = {name: one for name, one in new.items() if there.get(name) != one.scene.version}
    return identity
