"""Why a Ray cluster does not take this process, and what to do about it."""

import re

from rssr.errors import UserError

_VERSIONS = re.compile(r"Version mismatch:.*?Ray: (\S+).*?Python: (\S+).*?Ray: (\S+).*?Python: (\S+)", re.DOTALL)


def explain_failure(address: str, error: Exception) -> UserError:
    """The reason that Ray gives, as one paragraph.

    Raises:
        RuntimeError: The error itself, where it says nothing about the cluster.
    """
    import ray

    versions = _VERSIONS.search(str(error))
    if versions is not None:
        ray_there, python_there, ray_here, python_here = versions.groups()
        return UserError(
            f"The Ray cluster at {address} runs Ray {ray_there} on Python {python_there}, this process Ray {ray_here} "
            f"on Python {python_here}.",
            f"Install the cluster's versions here (`pip install 'ray[train,data,serve]=={ray_there}'`), or have the "
            "cluster run the job: `ray job submit --working-dir . -- python jobs/...`.",
        )
    if isinstance(error, ray.exceptions.AuthenticationError):
        return token_error(address)
    if isinstance(error, RuntimeError) and not isinstance(error, ray.exceptions.RayError):
        raise error
    return no_answer(address, error)


def token_error(address: str) -> UserError:
    """The cluster asks for a token."""
    return UserError(
        f"The Ray cluster at {address} asks for a token, and this process has none or another one.",
        "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's token, or RAY_AUTH_TOKEN_PATH to a file with it.",
    )


def job_server_error(address: str) -> UserError:
    """The address is that of the dashboard, which takes jobs but no connections."""
    return UserError(
        f"{address} is the address of a Ray job server, to which jobs are submitted.",
        f"Run `ray job submit --address {address} --working-dir . -- python jobs/...`, or give the cluster's own "
        "address as ray.address or RAY_ADDRESS: HOST:6379 on one of its machines, else ray://HOST:10001.",
    )


def no_answer(address: str, error: Exception) -> UserError:
    """Nobody is there."""
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(
        f"No Ray cluster answers at {address}: {reason}.",
        "Start one with `ray start --head`, or leave ray.address and RAY_ADDRESS unset for a local instance.",
    )
