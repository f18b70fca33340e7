"""The LDCSR job: its configuration, and its run."""

from typing import Self

from pydantic import model_validator

from pipelines.experiment.config import JobConfig
from pipelines.experiment.latent import require_scale_of_decoder
from pipelines.experiment.run import run_experiment
from rssr.errors import ExitCode
from rssr.methods.ldcsr.config import LDCSRConfig
from rssr.methods.ldcsr.method import LDCSRMethod


class LDCSRJobConfig(JobConfig, LDCSRConfig):
    """Keys of `jobs/ldcsr.py`: those of all training jobs, and LDCSR's phases."""

    def method_config(self) -> LDCSRConfig:
        """The method's own part."""
        return LDCSRConfig(**{name: getattr(self, name) for name in LDCSRConfig.model_fields})

    @model_validator(mode="after")
    def _check_scale(self) -> Self:
        require_scale_of_decoder(self.data, self.autoencoder)
        return self


def run_ldcsr(config: LDCSRJobConfig) -> ExitCode:
    """Run the job."""
    return run_experiment(LDCSRMethod(config.method_config()), config)
