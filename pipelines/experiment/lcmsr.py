"""The LCMSR job: its configuration, and its run."""

from typing import Self

from pydantic import model_validator

from pipelines.experiment.config import JobConfig
from pipelines.experiment.latent import require_scale_of_decoder
from pipelines.experiment.run import run_experiment
from rssr.errors import ExitCode
from rssr.methods.lcmsr.config import LCMSRConfig
from rssr.methods.lcmsr.method import LCMSRMethod


class LCMSRJobConfig(JobConfig, LCMSRConfig):
    """Keys of `jobs/lcmsr.py`: those of all training jobs, and LCMSR's phases."""

    def method_config(self) -> LCMSRConfig:
        """The method's own part."""
        return LCMSRConfig(**{name: getattr(self, name) for name in LCMSRConfig.model_fields})

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        require_scale_of_decoder(self.data, self.autoencoder)
        return self


def run_lcmsr(config: LCMSRJobConfig) -> ExitCode:
    """Run the job."""
    return run_experiment(LCMSRMethod(config.method_config()), config)
