"""Pictures as bytes: decoded by content to 8-bit RGB, encoded again, and turned into what networks take.

Every conversion that changes numbers is named in the result, so that a dataset's manifest can count them; what
cannot be converted without guessing is refused with the reason.
"""

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageOps,
    WebPImagePlugin,  # noqa: F401  # an explicit list of formats finds only those already imported
)

from rssr.errors import ImageError, RasterError

if TYPE_CHECKING:
    from torch import Tensor

    from rssr.raster import Raster, RasterInfo

RgbImage = NDArray[np.uint8]  # [H, W, 3]

MAX_PIXELS = 500_000_000
"""Default cap of rows times columns: a little above the largest picture of the datasets (20,000 x 20,000)."""

_PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM")
_RASTER_SIGNATURES = (
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EXIF_ORIENTATION = 0x0112
_OBJECT = re.compile(r"<_io\.BytesIO object at 0x[0-9a-f]+>")  # in Pillow's messages, another one each time
_TOLERATED_NODATA = 0.01  # files that declare 255 "have no data" on a few overexposed roofs

# Our cap is checked before a pixel is decoded, for every picture; Pillow's own lies below the size of real scenes
# and cannot be set for one call.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class DecodedImage:
    """A picture in memory.

    Attributes:
        pixels: uint8 [H, W, 3], RGB.
        conversions: What was done to get there, e.g. `gray-to-rgb`; empty for an 8-bit RGB picture.
    """

    pixels: RgbImage
    conversions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageProbe:
    """What a picture says about itself, without its pixels being decoded.

    Attributes:
        height: Pixels, as stored.
        width: Pixels, as stored.
        format: E.g. `JPEG`, `GTiff`.
    """

    height: int
    width: int
    format: str


def decode_image(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode a picture of any common format, recognised by its content and not by its name.

    Args:
        data: The file.
        name: What errors call it.
        max_pixels: Refuse more rows times columns than this before decoding.

    Raises:
        ImageError: Not a picture, damaged, too large, really transparent, or numbers whose meaning is unknown
            (16-bit TIFF without scaling, float, complex, two bands ...). Says which.
    """
    _check_not_empty(data, name)
    if is_raster(data):
        return _decode_raster(data, name, max_pixels)
    with _opened(data, name, max_pixels) as picture:
        try:
            return _convert(picture, data, name)
        except ImageError:
            raise
        except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, struct.error, KeyError ...
            raise ImageError(f"{name} is damaged: {_first_line(error)}.", "Fetch the file again.") from None


def is_raster(head: bytes) -> bool:
    """Whether a file that begins like this is TIFF or JPEG 2000, which `rssr.raster` reads."""
    return head.startswith(_RASTER_SIGNATURES)


def probe_image(data: bytes, name: str) -> ImageProbe:
    """Read a picture's size and format from its header.

    Raises:
        ImageError: Not a picture.
    """
    _check_not_empty(data, name)
    if is_raster(data):
        from rssr.raster import open_raster

        try:
            with open_raster(data, name=name) as reader:
                return ImageProbe(*reader.info.size, reader.info.driver)
        except RasterError as error:
            raise ImageError(error.problem, error.remedy) from None
    with _opened(data, name, None) as picture:
        return ImageProbe(picture.height, picture.width, picture.format or "")


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 [H, W, 3] RGB or [H, W] gray, or [H, W, 4] and [H, W, 2] with alpha behind these, as PNG.

    The same pixels give the same bytes.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 95) -> bytes:
    """Encode uint8 [H, W, 3] RGB or [H, W] gray as JPEG without chroma subsampling.

    Args:
        pixels: The picture.
        quality: 1 to 95, as libjpeg counts it.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def to_network(pixels: NDArray[np.uint8]) -> "Tensor":
    """Pictures as networks take them.

    Args:
        pixels: uint8 [H, W, 3] or [B, H, W, 3].

    Returns:
        float32 [B, 3, H, W] in [-1, 1]; B is 1 for a single picture.
    """
    import torch

    batch = pixels[None] if pixels.ndim == 3 else pixels
    channels_first = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
    return torch.from_numpy(channels_first).to(torch.float32) / 127.5 - 1.0


def from_network(images: "Tensor") -> NDArray[np.uint8]:
    """Network images as pictures: clamped and rounded to the nearest grey level.

    Args:
        images: float [B, 3, H, W], about [-1, 1], on any device.

    Returns:
        uint8 [B, H, W, 3].
    """
    import torch

    levels = ((images.detach().to(torch.float32) + 1.0) * 127.5).clamp(0, 255).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels


def _check_not_empty(data: bytes, name: str) -> None:
    if not data:
        raise ImageError(f"{name} is empty (0 bytes).", "Fetch the file again.")


def _opened(data: bytes, name: str, max_pixels: int | None) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except Exception as error:  # see decode_image
        raise ImageError(
            f"{name} is not a picture that can be read ({_first_line(error)}).",
            f"Give one of: {', '.join(_PILLOW_FORMATS)}, TIFF, JPEG 2000.",
        ) from None
    if max_pixels is not None and picture.height * picture.width > max_pixels:
        raise ImageError(
            f"{name} has {picture.height}x{picture.width} pixels, more than the {max_pixels} allowed.", "Cut it up."
        )
    return picture


def _convert(picture: Image.Image, data: bytes, name: str) -> DecodedImage:
    conversions = ["first-of-several-frames"] if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO" else []
    if picture.mode in ("F", "I") and not _is_deep_png(data):
        raise ImageError(f"{name} holds {picture.mode}-mode numbers of unknown range.", "Convert it to 8-bit RGB.")
    if _is_deep_png(data) or picture.mode.startswith("I;16"):
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1)
        picture = _from_16_bit(picture, data, name)
        picture.getexif()[_EXIF_ORIENTATION] = orientation
        conversions.append("16-bit-to-8-bit")
    if picture.getexif().get(_EXIF_ORIENTATION, 1) != 1:
        picture = ImageOps.exif_transpose(picture)
        conversions.append("turned-by-exif")
    if picture.has_transparency_data:
        _check_opaque(picture, name)
        conversions.append("opaque-alpha-dropped")
    if picture.mode != "RGB":
        base = picture.mode.rstrip("Aa")
        names = {"L": "gray-to-rgb", "P": "palette-to-rgb", "1": "bilevel-to-rgb"}
        if base not in ("RGB", "RGBX"):
            conversions.append(names.get(base, f"{base.lower()}-to-rgb"))
        picture = picture.convert("RGB")
    picture.load()
    return DecodedImage(np.asarray(picture), tuple(conversions))


def _is_deep_png(data: bytes) -> bool:
    """Whether this is a PNG of 16 bits a channel, which Pillow would cut to 8 bits in silence."""
    return data.startswith(_PNG_SIGNATURE) and len(data) > 24 and data[24] == 16


def _from_16_bit(picture: Image.Image, data: bytes, name: str) -> Image.Image:
    """A 16-bit PNG as 8 bits: 65535 / 257 = 255, rounded."""
    if not _is_deep_png(data):
        raise ImageError(f"{name} is 16-bit {picture.format} of unknown range.", "Convert it to 8-bit RGB.")
    picture.load()  # a full check of the stream, with Pillow's errors; OpenCV fills what is missing with zeros
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16:
        raise ImageError(f"{name} is damaged: its 16-bit pixels cannot be decoded.", "Fetch the file again.")
    levels = np.round(values.astype(np.float32) / 257).astype(np.uint8)
    if levels.ndim == 2:
        return Image.fromarray(levels)
    order = [2, 1, 0] if levels.shape[2] == 3 else [2, 1, 0, 3]
    return Image.fromarray(np.ascontiguousarray(levels[..., order]))


def _check_opaque(picture: Image.Image, name: str) -> None:
    alpha = np.asarray(picture.convert("RGBA"))[..., 3]
    share = float(np.mean(alpha < 255))
    if share > 0:
        raise ImageError(
            f"{name} is transparent in {share:.1%} of its pixels: there is no picture there.",
            "Crop it, fill the holes, or give it as a GeoTIFF, whose mask is kept.",
        )


def _decode_raster(data: bytes, name: str, max_pixels: int) -> DecodedImage:
    from rssr.raster import open_raster

    try:
        with open_raster(data, name=name, max_pixels=max_pixels) as reader:
            bands, conversions = _choose_bands(reader.info, name)
            raster = reader.read()
    except RasterError as error:
        raise ImageError(error.problem, error.remedy) from None
    holes = float(np.mean(~raster.valid_mask))
    if holes > (0 if raster.nodata is None else _TOLERATED_NODATA):
        raise ImageError(
            f"{name} has no data in {holes:.1%} of its pixels: there is no picture there.", "Crop it or fill the holes."
        )
    if holes > 0:
        conversions.append("nodata-pixels-kept")
    levels = raster.pixels if raster.pixels.dtype == np.uint8 else _reflectance_levels(raster)
    pixels = np.ascontiguousarray(levels[bands].transpose(1, 2, 0)).astype(np.uint8)
    return DecodedImage(pixels, tuple(conversions))


def _choose_bands(info: "RasterInfo", name: str) -> tuple[list[int], list[str]]:
    """Indices of red, green, blue, and what that does to the numbers; or a refusal before a pixel is read."""
    if info.dtype != "uint8" and not (info.dtype == "uint16" and info.radiometry.declared):
        raise ImageError(
            f"{name} holds {info.dtype} numbers that the file does not scale, so how bright they are is unknown.",
            "Convert it to 8-bit RGB, or declare scale and offset in the GeoTIFF.",
        )
    conversions = ["reflectance-to-8-bit"] if info.dtype == "uint16" else []
    names = [band.lower() for band in info.band_names]
    if info.num_bands == 1:
        return [0, 0, 0], [*conversions, "gray-to-rgb"]
    nameless = not set(names) & {"red", "green", "blue", "nir"}
    if info.num_bands in (3, 4) and (nameless or {"red", "green", "blue"} <= set(names)):
        bands = [0, 1, 2] if nameless else [names.index(colour) for colour in ("red", "green", "blue")]
        dropped = ["first-three-of-four-bands"] if info.num_bands == 4 else []
        return bands, conversions + dropped
    raise ImageError(
        f"{name} has {info.num_bands} bands ({', '.join(info.band_names[:12])}), which are not red, green, blue.",
        "Give three bands, or red, green, blue, near infrared.",
    )


def _reflectance_levels(raster: "Raster") -> NDArray[np.uint8]:
    """Reflectance 0 to 1 as grey levels 0 to 255."""
    declared = raster.radiometry
    scales, offsets = (np.array(values)[:, None, None] for values in (declared.scales, declared.offsets))
    levels: NDArray[np.uint8] = np.clip(np.round((raster.pixels * scales + offsets) * 255), 0, 255).astype(np.uint8)
    return levels


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return _OBJECT.sub("the data", text.splitlines()[0].rstrip("."))
