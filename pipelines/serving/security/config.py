"""What an operator sets about keys, places and limits."""

from typing import Any

from pydantic import Field, field_validator

from rssr.configuration import Config


class SecurityConfig(Config):
    """Who may ask, and which places archives may name."""

    keys_file: str | None = None
    """File with a key a line, as `NAME:SHA256` (`rssr key NAME` makes one); read again when it changes. The environment
    variable RSSR_API_KEYS holds further such lines, separated by commas or line ends. Without any key the service
    answers to the machine's own loopback address only."""
    read_places: tuple[str, ...] = ()
    """Folders and prefixes that archives may be read from, such as s3://bucket/scenes/ or /data/scenes. All that lies
    below them, and nothing else, on the way to it included: lines of lists, images of STAC items, redirections. None
    means that archives are uploaded, not named."""
    write_places: tuple[str, ...] = ()
    """Folders and prefixes that products of archives may be written to. None means that products stay with the service,
    which hands them out."""
    inner_hosts: tuple[str, ...] = ()
    """Names of web servers that may lie in the own network (10.0.0.0/8 and the like, or loopback). Other names that
    lead there are refused. An IP address or localhost in read_places needs no mention here."""

    @field_validator("read_places", "write_places", "inner_hosts", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:  # noqa: ANN401  # whatever YAML holds; validated afterwards
        return (value,) if isinstance(value, str) else value


class LimitsConfig(Config):
    """How much one request may bring. Everything is checked before a pixel is decoded or a file unpacked."""

    max_body_bytes: int = Field(default=64 * 2**20, ge=1)
    """An image that is sent to be answered at once, bytes."""
    max_upload_bytes: int = Field(default=4 * 2**30, ge=1)
    """An archive that is uploaded, bytes."""
    max_json_bytes: int = Field(default=2**20, ge=1)
    """Any other body, bytes."""
    max_field_bytes: int = Field(default=8 * 2**10, ge=1)
    """One field of a form, bytes."""
    max_pixels: int = Field(default=1024 * 1024, ge=1)
    """Rows times columns of an image that is answered at once, LR pixels; larger ones are for archives."""
    max_sr_pixels: int = Field(default=64 * 2**20, ge=1)
    """Rows times columns of its answer, SR pixels."""
    max_side: int = Field(default=16_384, ge=1)
    """Longer side of such an image, LR pixels."""
    max_bands: int = Field(default=64, ge=1)
    """Bands of such an image."""
    max_block_bytes: int = Field(default=256 * 2**20, ge=1)
    """One block of a TIFF, unpacked, bytes: decoders hold whole blocks."""
    max_entries: int = Field(default=20_000, ge=1)
    """Files in an uploaded archive."""
    max_entry_bytes: int = Field(default=2 * 2**30, ge=1)
    """One file in it, unpacked, bytes."""
    max_expanded_bytes: int = Field(default=32 * 2**30, ge=1)
    """All files in it, unpacked, bytes."""
    max_expansion: int = Field(default=200, ge=1)
    """Unpacked to packed size of a file in it."""
    idle_timeout_s: float = Field(default=20, gt=0)
    """Longest silence within a body, seconds."""
    upload_timeout_s: float = Field(default=3600, gt=0)
    """Longest time that a body may take, seconds."""
    min_bytes_per_s: float = Field(default=1024, ge=0)
    """Slowest rate of a body after its first 10 seconds, bytes a second; 0 allows any."""
    scratch_folder: str | None = None
    """Folder for bodies while they are looked at; null is the machine's own for temporary files."""
