"""Web clients that go nowhere but to allowed places, however they are led."""

import socket
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipelines.storage.allowed import AllowedPlaces


async def guarded_client(places: AllowedPlaces, **options: Any) -> aiohttp.ClientSession:  # noqa: ANN401  # of fsspec
    """A session that follows redirections to allowed places only, and no name into the own network.

    Names are looked up once a connection, and what is checked is what is connected to.

    Args:
        places: That are allowed.
        **options: Of the session.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(partial(_check_redirection, places))
    connector = aiohttp.TCPConnector(resolver=_Resolver(places))
    return aiohttp.ClientSession(connector=connector, trace_configs=[tracing], **options)


class _Resolver(AbstractResolver):
    """Looks names up, and refuses those that lead inside."""

    def __init__(self, places: AllowedPlaces) -> None:
        self._places = places
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        self._places.require_address(host, [result["host"] for result in found])
        return found

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()


async def _check_redirection(
    places: AllowedPlaces,
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    parameters: aiohttp.TraceRequestRedirectParams,
) -> None:
    led_to = parameters.response.headers.get("Location", "")
    places.require(str(parameters.url.join(type(parameters.url)(led_to))))
