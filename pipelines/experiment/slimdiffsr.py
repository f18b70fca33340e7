"""The SlimDiffSR job: its configuration, and its run, of one variant or of several."""

from functools import partial
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from pipelines.experiment.config import JobConfig
from pipelines.experiment.dry_run import run_dry
from pipelines.experiment.run import next_commands, run_experiment
from pipelines.experiment.sweep import Variant, run_sweep
from pipelines.experiment.sweep_report import SweepShape, publish_sweep
from pipelines.experiment.sweep_tables import SweepTable
from pipelines.progress import print_closing
from rssr.errors import ExitCode
from rssr.methods.slimdiffsr.ablations import ABLATIONS, PUBLISHED, TABLES, AblationName, ablate, find_ablation
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod
from rssr.models.registry import model_entry

_ALL = "all"


def _require_variants(asked: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if asked == ():
        raise ValueError("the list names no variant")
    for name in (asked,) if isinstance(asked, str) else asked or ():
        if name != _ALL or isinstance(asked, tuple):
            find_ablation(name)
    return asked


class SlimDiffSRJobConfig(JobConfig, SlimDiffSRConfig):
    """Keys of `jobs/slimdiffsr.py`: those of all training jobs, and SlimDiffSR's phases."""

    ablation: Annotated[str | tuple[str, ...] | None, AfterValidator(_require_variants)] = None
    """Variants of the paper's ablation study: vae, taesd (Table 5), wo-sap, wo-dsc, wo-fsc, wo-qgam (Table 6),
    wo-distillation, wo-mmd (Table 7), fixed-timestep, wo-uncertainty (Fig. 13 and 14). One name trains that variant
    instead of the published form. A list, or all, trains several and the published form one after another, phases that
    they share once, and ends in tables like the paper's. Null is the published form alone."""

    @model_validator(mode="after")
    def _check_sweep(self) -> Self:
        if self.is_sweep and self.data.scenes is not None:
            raise ValueError("the paper's tables are of PSNR-Y, which these bands lack; train one variant at a time")
        return self

    def method_config(self) -> SlimDiffSRConfig:
        """The method's own part."""
        return SlimDiffSRConfig(**{name: getattr(self, name) for name in SlimDiffSRConfig.model_fields})

    def variants(self) -> tuple[AblationName, ...]:
        """Names of the variants in the order in which they are trained; a sweep begins with the published form."""
        if self.ablation is None:
            return (PUBLISHED,)
        if self.ablation == _ALL:
            return tuple(ABLATIONS)
        if isinstance(self.ablation, str):
            return (find_ablation(self.ablation),)
        return tuple(dict.fromkeys((PUBLISHED, *map(find_ablation, self.ablation))))

    @property
    def is_sweep(self) -> bool:
        """Whether several variants are asked for."""
        return isinstance(self.ablation, tuple) or self.ablation == _ALL

    def of_variant(self, name: AblationName) -> "SlimDiffSRJobConfig":
        """The configuration of one variant alone; its model is registered under a name of its own.

        Resolving a resolved configuration again changes nothing.
        """
        registered = self.registry.name
        if name != PUBLISHED and not registered.endswith(f"-{name}"):
            registered = f"{registered}-{name}"
        registry = self.registry.model_copy(update={"name": registered})
        alone = self.model_copy(update={"registry": registry, "ablation": None if name == PUBLISHED else name})
        return ablate(alone, name)


def run_slimdiffsr(config: SlimDiffSRJobConfig) -> ExitCode:
    """Run the job."""
    names = config.variants()
    if config.is_sweep:
        return _run_ablations(config, names)
    alone = config.of_variant(names[0])
    return run_experiment(SlimDiffSRMethod(alone.method_config()), alone)


def _run_ablations(config: SlimDiffSRJobConfig, names: tuple[AblationName, ...]) -> ExitCode:
    """Train several variants, the published form first, and end in tables like the paper's."""
    shows_teachers = any(ABLATIONS[name].concerns_teacher for name in names)
    variants = [_variant(config.of_variant(name), name, shows_teachers) for name in names]
    if config.phase.dry_run:
        return run_dry({variant.name: variant.method for variant in variants}, config)
    told, durable = run_sweep(config, variants, partial(publish_sweep, shape=_shape()))
    print(f"\n{told.text}")  # the job's answer, not a log line
    for name, reason in told.results.failures.items():
        print(f"\nFailed: {name}: {reason}")
    print_closing(told.where, next_commands(config, told.where, SlimDiffSRMethod.name))
    return ExitCode.DONE if durable and not told.results.failures else ExitCode.COMPLETED_WITH_FAILURES


def _variant(config: SlimDiffSRJobConfig, name: AblationName, shows_teachers: bool) -> Variant:
    """A member of the sweep; the teachers of those that concern them, and of the published form, are measured too."""
    config = config.model_copy(update={"deviation": None})  # not the paper's; it would count as part of the student
    method = SlimDiffSRMethod(config.method_config())
    shown = shows_teachers and (name == PUBLISHED or ABLATIONS[name].concerns_teacher)
    return Variant(name, method, config, method.open_teacher if shown else None)


def _shape() -> SweepShape:
    """The paper's tables, each with the published form as its last row."""
    tables = [
        SweepTable(table.name, table.subject, {name: ABLATIONS[name].title for name in (*table.variants, PUBLISHED)})
        for table in TABLES
    ]
    millions = {name: model_entry(ablation.model).paper_millions for name, ablation in ABLATIONS.items()}
    return SweepShape(PUBLISHED, tables, {name: figure for name, figure in millions.items() if figure is not None})
