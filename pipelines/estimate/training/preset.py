"""Which training job a preset stands for."""

from pipelines.entry import find_preset
from pipelines.estimate.training.config import TrainingEstimateConfig
from pipelines.experiment.config import JobConfig
from pipelines.experiment.lcmsr import LCMSRJobConfig
from pipelines.experiment.ldcsr import LDCSRJobConfig
from pipelines.experiment.slimdiffsr import SlimDiffSRJobConfig
from rssr.configuration import ConfigT, load_config
from rssr.errors import ConfigError
from rssr.methods.lcmsr.method import LCMSRMethod
from rssr.methods.ldcsr.method import LDCSRMethod
from rssr.methods.method import Method
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod


def open_preset(config: TrainingEstimateConfig) -> tuple[Method, JobConfig]:
    """The method and the job that a preset with its overrides configures.

    Raises:
        ConfigError: There is no such preset, or it is another method's, or several variants are asked for.
    """
    if config.method == "slimdiffsr":
        return _slimdiffsr(_load(SlimDiffSRJobConfig, config))
    if config.method == "ldcsr":
        ldcsr = _load(LDCSRJobConfig, config)
        return LDCSRMethod(ldcsr.method_config()), ldcsr
    lcmsr = _load(LCMSRJobConfig, config)
    return LCMSRMethod(lcmsr.method_config()), lcmsr


def _load(job_class: type[ConfigT], config: TrainingEstimateConfig) -> ConfigT:
    path = find_preset(config.preset)
    try:
        return load_config(job_class, path, config.typed_overrides())
    except ConfigError as error:
        raise ConfigError(
            f"training.preset={config.preset} does not configure jobs/{config.method}.py: {error.problem}",
            "Name the method that it is of, training.method=slimdiffsr, ldcsr or lcmsr, and check training.overrides.",
        ) from None


def _slimdiffsr(job: SlimDiffSRJobConfig) -> tuple[Method, JobConfig]:
    if job.is_sweep:
        raise ConfigError("ablation names several variants.", "Estimate them one at a time.")
    alone = job.of_variant(job.variants()[0])
    return SlimDiffSRMethod(alone.method_config()), alone
