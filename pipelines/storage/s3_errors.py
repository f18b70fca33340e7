"""What S3's errors mean and what to do about them, without repeating anything secret."""

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from pipelines.storage.retries import Failure
from pipelines.storage.settings import StorageSettings
from pipelines.storage.store import ObjectMissing, StoreUnavailable
from rssr.errors import StorageError

_BUSY_CODES = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "ServiceUnavailable",
    "OperationAborted",
    "ConditionalRequestConflict",  # two conditional puts at once: S3 asks to try again
    "XAmzContentSHA256Mismatch",
}
_EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_REFUSED_CODES = {
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "403",
    "401",
}
_FULL_CODES = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "507"}
_WRITES = ("Put", "Create", "Upload", "Complete", "Delete", "Abort")  # how the names of writing requests begin
_UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
_BROKEN_OFF = (
    ConnectionClosedError,
    ReadTimeoutError,
    IncompleteReadError,
    ResponseStreamingError,
    ResponseParserError,  # proxies answer overload with HTML
)
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError)


def error_code(error: ClientError) -> str:
    """The code of the server's answer, e.g. `NoSuchKey`; the HTTP status where the answer has no code."""
    return str(error.response.get("Error", {}).get("Code") or status_code(error))


def status_code(error: ClientError) -> int:
    """The HTTP status of the server's answer, 0 where unknown."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_taken(error: ClientError) -> bool:
    """Whether a conditional request was refused since the object exists."""
    return error_code(error) == "PreconditionFailed" or status_code(error) == 412


def classify(error: Exception) -> Failure:
    """Sort an error by whether asking again can help."""
    error = _unwrapped(error)
    if isinstance(error, ClientError):
        busy = error_code(error) in _BUSY_CODES or status_code(error) in (429, 500, 502, 503, 504)
        return Failure.TRANSIENT if busy else Failure.PERMANENT
    if isinstance(error, SSLError):
        return Failure.PERMANENT
    if isinstance(error, _UNREACHABLE):
        return Failure.UNREACHABLE
    broken_off = isinstance(error, (*_BROKEN_OFF, HTTPClientError))
    return Failure.TRANSIENT if broken_off else Failure.PERMANENT


def explain(error: Exception, address: str, settings: StorageSettings) -> StorageError:
    """The error as one paragraph.

    Args:
        error: From botocore or boto3; its own text is not repeated, since it may quote headers.
        address: URI of the object.
        settings: Tells which endpoint was asked.
    """
    error = _unwrapped(error)
    server = settings.endpoint_url or "AWS"
    code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
    if code == "NoSuchBucket":
        return StorageError(f"The bucket of {address} does not exist on {server}.", "Create it or correct the URI.")
    if code in ("NoSuchKey", "404"):
        return ObjectMissing(f"There is no object {address}.", "Check the URI.")
    if code in _EXPIRED_CODES:
        return StoreUnavailable(
            f"{server} refuses access to {address}: the credentials have expired ({code}).",
            "Renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then run again.",
        )
    if code == "RequestTimeTooSkewed":
        return StoreUnavailable(f"{server} refuses access to {address} ({code}).", "Set the clock of this machine.")
    if code in _REFUSED_CODES:
        return StorageError(f"{server} refuses access to {address} ({code}).", _refused_remedy(error))
    if code in _FULL_CODES:
        return StorageError(
            f"{server} has no space left for {address} ({code}).", "Free some space there, or raise the quota."
        )
    if isinstance(error, _NO_CREDENTIALS):
        return StoreUnavailable(
            f"There are no credentials for {address}.", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if isinstance(error, _UNREACHABLE):
        return StoreUnavailable(
            f"{address} cannot be reached: no connection to {server}.",
            "Check AWS_ENDPOINT_URL_S3, the network and that the server runs.",
        )
    if isinstance(error, NoRegionError | SSLError):
        hint = "Set AWS_REGION." if isinstance(error, NoRegionError) else "Set AWS_CA_BUNDLE to trust its certificate."
        return StoreUnavailable(f"{address} cannot be reached on {server} ({code}).", hint)
    kind = "answered" if isinstance(error, ClientError) else "failed with"
    problem = f"{server} {kind} {code} for {address}."
    if classify(error) is Failure.TRANSIENT:
        return StoreUnavailable(problem, "Try again later.")
    return StorageError(problem, _other_remedy(error))


def _unwrapped(error: Exception) -> Exception:
    """The answer behind boto3's transfer errors, which only quote it."""
    inner = error.__context__ if isinstance(error, Boto3Error) else None
    return inner if isinstance(inner, ClientError | BotoCoreError) else error


def _refused_remedy(error: Exception) -> str:
    """What to look at; a bucket that can be read may still be closed to writers."""
    writes = isinstance(error, ClientError) and str(error.operation_name).startswith(_WRITES)
    right = "whether the bucket's policy lets them write there" if writes else "the bucket's policy"
    return f"Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and {right}."


def _other_remedy(error: Exception) -> str:
    known = isinstance(error, ClientError | BotoCoreError)
    return "Check the URI and the server's log." if known else "Check the file and the server's log."
