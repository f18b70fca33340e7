"""Whether a Ray cluster takes this process's token, found out at once: Ray itself would go on asking for long."""

import os
from pathlib import Path

from pipelines.cluster_errors import token_error

# Requests of Ray's own that change nothing: to the GCS, and to the server of Ray's client. A server that does not know
# them (another version) answers just that, and is then left to Ray.
_REQUESTS = {"": "/ray.rpc.NodeInfoGcsService/GetClusterId", "ray://": "/ray.rpc.RayletDriver/ClusterInfo"}
_PATIENCE_S = 4.0


def require_token(address: str) -> None:
    """Refuse to try a cluster that asks for a token which this process would not send.

    Args:
        address: `HOST:PORT` or `ray://HOST:PORT`.

    Raises:
        UserError: It does, with what to set.
    """
    if _refuses(address, own_token()):
        raise token_error(address)


def own_token() -> str:
    """The token that Ray sends to a cluster that is named; empty for none, as where RAY_AUTH_MODE does not say so."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _refuses(address: str, token: str) -> bool:
    """Whether the server says that the token is missing or wrong; anything else is left to Ray."""
    import grpc

    scheme = "ray://" if address.startswith("ray://") else ""
    metadata = [("authorization", f"Bearer {token}")] if token else None
    with grpc.insecure_channel(address.removeprefix(scheme)) as channel:
        try:
            channel.unary_unary(_REQUESTS[scheme])(b"", timeout=_PATIENCE_S, metadata=metadata)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.UNAUTHENTICATED)
    return False
