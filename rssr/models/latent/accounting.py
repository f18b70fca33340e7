"""What the published networks' parameter figures count beyond what runs."""

from collections.abc import Mapping

from torch import nn

from rssr.models.latent.network import LatentSR


def published_parts(name: str, network: nn.Module) -> Mapping[str, int]:
    """Parameters of the published network that no forward pass reads, by name.

    Args:
        name: Model name.
        network: As built from published values.
    """
    is_continuous = isinstance(network, LatentSR) and network.values.decoder == "continuous"
    return {"decoder's unused scalar 'style'": 1} if is_continuous else {}
