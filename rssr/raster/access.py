"""Reading through GDAL from places that need more than a path: object stores with endpoint and credentials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import rasterio
from rasterio.session import AWSSession, Session


@dataclass(frozen=True)
class GdalAccess:
    """What GDAL must know while it opens and reads files; nothing by default.

    Attributes:
        options: GDAL's configuration, e.g. `AWS_VIRTUAL_HOSTING`.
        aws: Keywords of rasterio's AWS session: keys, region, endpoint. Not in `repr`.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    aws: Mapping[str, str] = field(default_factory=dict, repr=False)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Files are opened and read within this block; it may be entered again and again."""
        if not self.options and not self.aws:
            yield
            return
        with rasterio.Env(session=self._session(), **self.options):
            yield

    def _session(self) -> Session | None:
        if not self.aws:
            return None
        held: Session | None = self.__dict__.get("_held")
        if held is None:
            held = AWSSession(**self.aws)
            self.__dict__["_held"] = held  # botocore takes a tenth of a second to make one
        return held

    def __getstate__(self) -> dict[str, object]:
        """Without the session, which other processes make anew."""
        return {name: value for name, value in self.__dict__.items() if name != "_held"}
