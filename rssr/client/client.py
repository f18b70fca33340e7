"""A client of one service."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from rssr.client.archives import Archives
from rssr.client.bodies import Body, BytesBody, file_body
from rssr.client.errors import ServiceError
from rssr.client.results import SuperResolved, read_result
from rssr.client.transport import Ask, Patience, Transport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_HASTE_S = 10.0

Format = Literal["png", "jpeg", "tiff"]


@dataclass(frozen=True)
class Model:
    """A model that the service has.

    Attributes:
        name: To ask for it by.
        is_default: Whether it is used where none is named.
        version: What is served, e.g. `models:/ldcsr/3`.
        state: `ready`, `loading` or `failed`.
        bands: Names of the bands it takes, in order.
        scales: Lowest and highest scale; None where any will do.
        gives_uncertainty: Whether `uncertainty=True` can be asked of it.
        document: All that the service tells, its card among it.
    """

    name: str
    is_default: bool
    version: str
    state: str
    bands: tuple[str, ...]
    scales: tuple[float, float] | None
    gives_uncertainty: bool
    document: Mapping[str, Any]


class Client:
    """Asks one service. May be used by several threads at once.

    What fails for the moment, because the service is busy or restarts, is asked again as the service says, within
    bounds; a repeated request never makes an archive twice. Redirects and proxies are not followed: they would be
    given the key.

    Args:
        url: Of the service, e.g. `http://127.0.0.1:8000`.
        key: Of the service; None where it asks for none.
        timeout_s: Longest silence of the service, seconds, before a request is given up.
        max_attempts: Of one request.
        max_wait_s: Longest time spent between attempts of one request, seconds.

    Attributes:
        archives: Whole archives: submitted, watched, fetched.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 120.0,
        max_attempts: int = 8,
        max_wait_s: float = 60.0,
    ) -> None:
        self._transport = Transport(url, key, Patience(timeout_s, max_attempts, max_wait_s))
        self._hasty = Transport(url, key, Patience(min(timeout_s, _HASTE_S), 1, 0.0))
        self.archives = Archives(self._transport)

    def super_resolve(
        self,
        image: "str | Path | bytes | NDArray[np.uint8] | Image",
        *,
        model: str | None = None,
        scale: float | None = None,
        format: Format | None = None,
        uncertainty: bool = False,
        seed: int = 0,
    ) -> SuperResolved:
        """Super-resolve one small image.

        Args:
            image: A file (PNG, JPEG, TIFF, GeoTIFF) by path or as bytes; or uint8 pixels [H, W, 3] or [H, W]; or a
                Pillow picture. Pixels and pictures are sent as PNG.
            model: By name; None is the service's default.
            scale: How much longer sides become; None is the model's own.
            format: Of the result; None is the image's own.
            uncertainty: Ask also how far each pixel may be off.
            seed: Of models that draw.

        Raises:
            ServiceError: It was refused, e.g. as too large (then it is one for `archives`), or could not be answered.
        """
        params = {
            "model": model,
            "scale": None if scale is None else f"{scale:g}",
            "format": format,
            "uncertainty": "true" if uncertainty else None,
            "seed": str(seed) if seed else None,
        }
        return read_result(self._transport.request(Ask("POST", "/v1/super-resolve", params, body=_body(image))))

    def models(self) -> list[Model]:
        """The models there are.

        Raises:
            ServiceError: They could not be had.
        """
        return [_model(told) for told in self._transport.request(Ask("GET", "/v1/models")).json()["models"]]

    def is_ready(self) -> bool:
        """Whether the service answers images at this moment; asked once, without patience."""
        try:
            self._hasty.request(Ask("GET", "/readyz"))
        except ServiceError:
            return False
        return True

    def close(self) -> None:
        """Close this thread's connections."""
        self._transport.close()
        self._hasty.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _body(image: Any) -> Body:  # noqa: ANN401  # of several kinds, told apart here
    if isinstance(image, bytes | bytearray | memoryview):
        return BytesBody(bytes(image))
    if isinstance(image, str | Path):
        return file_body(Path(image))
    from PIL import Image

    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return BytesBody(buffer.getvalue(), "image/png")


def _model(told: Mapping[str, Any]) -> Model:
    scales = told.get("scales")
    return Model(
        name=told["name"],
        is_default=bool(told.get("is_default")),
        version=str(told.get("version") or ""),
        state=str(told.get("state") or ""),
        bands=tuple(told.get("bands") or ()),
        scales=(float(scales[0]), float(scales[1])) if scales else None,
        gives_uncertainty=bool(told.get("gives_uncertainty")),
        document=told,
    )
