"""Endpoint and credentials: read once from the environment, translated for every library.

The environment variables are AWS's own, so that what works for `aws s3 ls` works here. Secrets are kept out of
`repr`, and hence out of logs and errors.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pipelines.storage.allowed import AllowedPlaces
from pipelines.storage.uris import redact
from rssr.errors import StorageError

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 30.0
_NUM_ATTEMPTS = 6  # of libraries that retry by themselves, the first request included
_DEFAULT_REGION = "us-east-1"  # custom endpoints ignore it, but signatures need one


@dataclass(frozen=True)
class StorageSettings:
    """How to reach S3-compatible storage.

    Args:
        endpoint_url: `http(s)://host:port` of a custom S3 server; None means AWS.
        region: Region to sign for.
        access_key_id: None leaves the search to each library's default chain (profile, instance role).
        secret_access_key: Belongs to `access_key_id`.
        session_token: For temporary credentials.
        ca_bundle: File with certificates to trust.
        places: Where all must lie that inputs name, such as lines of lists and images of STAC items, and where web
            servers may lead; None allows all. `open_store` itself opens what it is asked to.
    """

    endpoint_url: str | None = None
    region: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    places: AllowedPlaces | None = None

    def __post_init__(self) -> None:
        if self.endpoint_url is None:
            return
        parts = urlsplit(self.endpoint_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StorageError(
                f"The S3 endpoint '{redact(self.endpoint_url)}' is not an http(s) address.",
                "Set AWS_ENDPOINT_URL_S3 to something like http://host:9000.",
            )
        if "@" in parts.netloc:
            raise StorageError(
                f"The S3 endpoint '{redact(self.endpoint_url)}' carries credentials.",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead.",
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "StorageSettings":
        """Read AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL), AWS_REGION, AWS_ACCESS_KEY_ID and the rest."""
        source = os.environ if environment is None else environment

        def first(*names: str) -> str | None:
            return next((source[name] for name in names if source.get(name)), None)

        return cls(
            endpoint_url=first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
            region=first("AWS_REGION", "AWS_DEFAULT_REGION"),
            access_key_id=first("AWS_ACCESS_KEY_ID"),
            secret_access_key=first("AWS_SECRET_ACCESS_KEY"),
            session_token=first("AWS_SESSION_TOKEN"),
            ca_bundle=first("AWS_CA_BUNDLE"),
        )

    def require_allowed(self, uri: str) -> None:
        """Make sure that what an input names may be read.

        Raises:
            PlaceRefused: It may not.
        """
        if self.places is not None:
            self.places.require(uri)

    @property
    def signing_region(self) -> str | None:
        """Region for signatures: custom endpoints get a default, AWS keeps its own search."""
        return self.region or (_DEFAULT_REGION if self.endpoint_url else None)

    def client_config(self) -> dict[str, Any]:
        """Keywords of botocore's Config. Retries are off: `retries.py` bounds them, whatever the library."""
        config: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"total_max_attempts": 1},
        }
        if self.endpoint_url:
            # Servers other than AWS rarely resolve bucket.host, and many reject checksum trailers.
            config["s3"] = {"addressing_style": "path"}
            config["request_checksum_calculation"] = "when_required"
            config["response_checksum_validation"] = "when_required"
        return config

    def boto3_options(self) -> dict[str, Any]:
        """Keywords of `boto3.session.Session().client("s3", ...)`, without its Config."""
        return {
            "endpoint_url": self.endpoint_url,
            "region_name": self.signing_region,
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_session_token": self.session_token,
            "verify": self.ca_bundle,
        }

    def s3fs_options(self) -> dict[str, Any]:
        """Keywords of `s3fs.S3FileSystem`, also fsspec's `storage_options` for `s3://`."""
        config = {name: value for name, value in self.client_config().items() if name != "retries"}
        options: dict[str, Any] = {"config_kwargs": config, "client_kwargs": {}}
        if self.signing_region:
            options["client_kwargs"]["region_name"] = self.signing_region
        named = (
            ("endpoint_url", self.endpoint_url),
            ("key", self.access_key_id),
            ("secret", self.secret_access_key),
            ("token", self.session_token),
        )
        return options | {name: value for name, value in named if value}

    def pyarrow_options(self) -> dict[str, Any]:
        """Keywords of `pyarrow.fs.S3FileSystem`."""
        from pyarrow import fs  # takes a while to load, and only its own users need it

        options: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S, "request_timeout": READ_TIMEOUT_S}
        options["retry_strategy"] = fs.AwsStandardS3RetryStrategy(max_attempts=_NUM_ATTEMPTS)
        if self.endpoint_url:
            parts = urlsplit(self.endpoint_url)
            options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme}
        named = (
            ("region", self.signing_region),
            ("access_key", self.access_key_id),
            ("secret_key", self.secret_access_key),
            ("session_token", self.session_token),
        )
        return options | {name: value for name, value in named if value}

    def gdal_environment(self) -> dict[str, str]:
        """Environment variables for GDAL's own `/vsis3/`, e.g. for its command line tools."""
        return self.gdal_options() | self._credentials() | self._gdal_endpoint()

    def gdal_options(self) -> dict[str, str]:
        """Options of `rasterio.Env`, to go with an `AWSSession` made from `aws_session_options`.

        For GeoTIFFs on servers that answer ranges as S3 does. Anything else is read through `rssr.raster.ByteSource`,
        which says why.
        """
        options = {name: value for name, value in self._gdal_endpoint().items() if name != "AWS_S3_ENDPOINT"}
        if self.ca_bundle:
            options["CURL_CA_BUNDLE"] = self.ca_bundle
        options["GDAL_DISABLE_READDIR_ON_OPEN"] = "EMPTY_DIR"  # a listing of the bucket per opened file otherwise
        options["GDAL_HTTP_CONNECTTIMEOUT"] = str(int(CONNECT_TIMEOUT_S))
        options["GDAL_HTTP_MAX_RETRY"] = str(_NUM_ATTEMPTS - 1)
        options["GDAL_HTTP_RETRY_DELAY"] = "0.5"  # the first pause; GDAL lengthens it each time, with jitter
        # What was read is forgotten when a file is opened again. Otherwise a transfer that broke off would be read from
        # GDAL's memory as a file that ends there, by this process for ever, and an object that was replaced as it was.
        options["CPL_VSIL_CURL_NON_CACHED"] = "/vsis3/"
        # A server that falls silent would be waited for without end: GDAL knows no other limit of reading.
        options["GDAL_HTTP_LOW_SPEED_TIME"] = str(max(1, int(READ_TIMEOUT_S)))
        options["GDAL_HTTP_LOW_SPEED_LIMIT"] = "1"  # bytes a second
        return options

    def aws_session_options(self) -> dict[str, str]:
        """Keywords of `rasterio.session.AWSSession`; `rasterio.Env` takes credentials in no other way."""
        named = (
            ("aws_access_key_id", self.access_key_id),
            ("aws_secret_access_key", self.secret_access_key),
            ("aws_session_token", self.session_token),
            ("region_name", self.signing_region),
            ("endpoint_url", self._gdal_endpoint().get("AWS_S3_ENDPOINT")),
        )
        return {name: value for name, value in named if value}

    def mlflow_environment(self) -> dict[str, str]:
        """Environment variables for MLflow's S3 artifact store (boto3)."""
        variables = self.environment()
        if self.endpoint_url:
            variables["MLFLOW_S3_ENDPOINT_URL"] = self.endpoint_url
        return variables

    def environment(self) -> dict[str, str]:
        """The settings as environment variables, the inverse of `from_environment`."""
        variables = self._credentials()
        if self.endpoint_url:
            variables["AWS_ENDPOINT_URL_S3"] = self.endpoint_url
            variables["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
            variables["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
        if self.ca_bundle:
            variables["AWS_CA_BUNDLE"] = self.ca_bundle
        return variables

    def relax_checksums(self) -> None:
        """Tell libraries configured by environment alone (PyArrow, MLflow) what `client_config` tells botocore."""
        if self.endpoint_url:
            os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
            os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")

    def _gdal_endpoint(self) -> dict[str, str]:
        if not self.endpoint_url:
            return {}
        parts = urlsplit(self.endpoint_url)
        return {
            "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
            "AWS_HTTPS": "YES" if parts.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def _credentials(self) -> dict[str, str]:
        named = (
            ("AWS_REGION", self.signing_region),
            ("AWS_ACCESS_KEY_ID", self.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", self.secret_access_key),
            ("AWS_SESSION_TOKEN", self.session_token),
        )
        return {name: value for name, value in named if value}
