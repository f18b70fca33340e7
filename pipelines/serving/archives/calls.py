"""`ArchiveApi` over whatever carries its calls: threads of this process, or a handle to another one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pipelines.leases.lease import LeaseLost
from pipelines.serving.archives.api import (
    Archive,
    ArchivePage,
    CreatedArchive,
    ItemPage,
    PageQuery,
    StoredFile,
)
from pipelines.serving.archives.records import ArchiveRequest
from pipelines.serving.archives.service import ArchiveService
from pipelines.serving.caller import Caller
from pipelines.serving.problems import Problem
from pipelines.storage import StoreUnavailable

METHODS = frozenset(("admit", "create", "show", "list", "items", "file", "report", "cancel"))
"""What may be called."""

Call = Callable[[str, tuple[Any, ...]], Awaitable[Any]]
"""Carries the name of a method and its arguments; brings the result, or a `Problem` as a value."""

_RETRY_S = 5


class CalledArchives:
    """Archives somewhere, see `ArchiveApi`.

    Args:
        call: Carries calls there.
    """

    def __init__(self, call: Call) -> None:
        self._call = call

    async def admit(self, caller: Caller, idempotency_key: str) -> None:
        """See `ArchiveApi.admit`."""
        await self._ask("admit", caller, idempotency_key)

    async def create(self, request: ArchiveRequest) -> CreatedArchive:
        """See `ArchiveApi.create`."""
        created: CreatedArchive = await self._ask("create", request)
        return created

    async def show(self, caller: Caller, archive_id: str) -> Archive:
        """See `ArchiveApi.show`."""
        archive: Archive = await self._ask("show", caller, archive_id)
        return archive

    async def list(self, caller: Caller, query: PageQuery) -> ArchivePage:
        """See `ArchiveApi.list`."""
        page: ArchivePage = await self._ask("list", caller, query)
        return page

    async def items(self, caller: Caller, archive_id: str, query: PageQuery) -> ItemPage:
        """See `ArchiveApi.items`."""
        page: ItemPage = await self._ask("items", caller, archive_id, query)
        return page

    async def file(self, caller: Caller, archive_id: str, path: str) -> StoredFile:
        """See `ArchiveApi.file`."""
        found: StoredFile = await self._ask("file", caller, archive_id, path)
        return found

    async def report(self, caller: Caller, archive_id: str) -> bytes:
        """See `ArchiveApi.report`."""
        page: bytes = await self._ask("report", caller, archive_id)
        return page

    async def cancel(self, caller: Caller, archive_id: str) -> Archive:
        """See `ArchiveApi.cancel`."""
        archive: Archive = await self._ask("cancel", caller, archive_id)
        return archive

    async def _ask(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401  # of any method
        result = await self._call(name, arguments)
        if isinstance(result, Problem):
            raise result
        return result


def answered(service: ArchiveService, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  # of any method
    """Call a method; a problem comes back as a value, which travels between processes as it is.

    Raises:
        ValueError: There is no such method.
        RssrError: The store fails for good.
    """
    if name not in METHODS:
        raise ValueError(f"there is no method {name}")
    try:
        return getattr(service, name)(*arguments)
    except Problem as problem:
        return problem
    except (LeaseLost, StoreUnavailable):
        told = f"Send it again in {_RETRY_S} s."
        return Problem("busy", "The store of archives does not answer.", told, {"Retry-After": str(_RETRY_S)})


def calls_here(service: ArchiveService) -> Call:
    """Calls to a service in this process, in threads."""

    async def call(name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  # of any method
        return await asyncio.to_thread(answered, service, name, arguments)

    return call
