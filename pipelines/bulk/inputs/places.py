"""Inputs against the output: what a run writes must not be what it reads."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.storage import Store
from pipelines.storage.archive import split_archive_uri
from pipelines.storage.uris import parse_uri
from rssr.errors import ConfigError

_SAME_SCHEMES = {"s3a": "s3"}


@dataclass(frozen=True)
class OutputPlace:
    """Where a run writes, told apart from where it reads.

    Args:
        store: The output.
    """

    store: Store

    def left_out(self, input_uri: str) -> str | None:
        """The folder below an input that is the output's own, and hence no input; None where they lie apart.

        Args:
            input_uri: A folder, prefix, archive, list or single file.

        Raises:
            ConfigError: The input is the output, or lies in it.
        """
        within = split_archive_uri(input_uri)
        whole, own = _parts(within[0] if within else input_uri), _parts(self.store.uri)
        if whole[: len(own)] == own:
            where = "is the output itself" if whole == own else f"lies in the output {self.store.uri}"
            raise ConfigError(
                f"The input {input_uri} {where}: products would be taken for scenes, or replace them.",
                "Choose another output, beside the input or in a folder of its own below it.",
            )
        return "/".join(own[len(whole) :]) if own[: len(whole)] == whole else None


def _parts(uri: str) -> tuple[str, ...]:
    """A place as the names on the way to it; of local ones links are followed."""
    location = parse_uri(uri)
    if location.scheme == "file":
        return Path(location.path).resolve().parts
    scheme = _SAME_SCHEMES.get(location.scheme, location.scheme)
    return (f"{scheme}://{location.bucket}", *filter(None, location.path.split("/")))
