"""The SlimDiffSR job: its configuration and its run."""

from pipelines.experiment.config import JobConfig
from pipelines.experiment.run import run_experiment
from rssr.errors import ExitCode
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod


class SlimDiffSRJobConfig(JobConfig, SlimDiffSRConfig):
    """Keys of `jobs/slimdiffsr.py`: those of all training jobs, and SlimDiffSR's phases."""

    def method_config(self) -> SlimDiffSRConfig:
        """The method's own part."""
        return SlimDiffSRConfig(**{name: getattr(self, name) for name in SlimDiffSRConfig.model_fields})


def run_slimdiffsr(config: SlimDiffSRJobConfig) -> ExitCode:
    """Run the job."""
    return run_experiment(SlimDiffSRMethod(config.method_config()), config)
