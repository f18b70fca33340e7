"""Archives that ended long ago are removed with all that the service keeps of them; what cuts that off spoils nothing.

First the book marks an archive, and from then on it is not there; then its files go, and in the end what is written
down of it. Whoever leads next goes on with what is marked.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from pipelines.bulk.threads import in_threads
from pipelines.leases.lease import LeaseLost
from pipelines.serving.archives.records import KEPT
from pipelines.serving.archives.state import ArchiveBook
from pipelines.storage import Store
from rssr.errors import RssrError

log = logging.getLogger(__name__)

_DAY_S = 86_400.0
_AT_ONCE = 256  # objects, between two looks whether this runner still leads


def remove_old(book: ArchiveBook, root: Store, keep_days: float | None) -> int:
    """Remove archives that ended long ago, and go on with those whose removal was cut off.

    Args:
        book: All archives.
        root: The service's own place.
        keep_days: How long they are kept after their end, days; None keeps them.

    Returns:
        How many were removed.

    Raises:
        StorageError: The store fails, or this runner does not lead any more.
    """
    for record in book.all():
        ended_ago_s = record.standing.ended_ago_s
        if keep_days is not None and ended_ago_s is not None and ended_ago_s > keep_days * _DAY_S:
            book.begin_removal(record.id)
    removing = book.removing()
    for archive_id, request in removing.items():
        _remove_kept(book, root, archive_id)
        if request is not None and request.upload:
            root.delete(request.upload)
        book.end_removal(archive_id)
        log.info("Archive %s is removed.", archive_id, extra={"archive_id": archive_id})
    return len(removing)


def _remove_kept(book: ArchiveBook, root: Store, archive_id: str) -> None:
    """The products and working files that the service keeps."""
    folder = f"{KEPT}/{archive_id}"
    root.child(folder).delete_unfinished()
    keys = [entry.key for entry in root.list(folder)]
    for start in range(0, len(keys), _AT_ONCE):
        book.require_held()
        for _ in in_threads(root.delete, keys[start : start + _AT_ONCE]):
            pass


class HistoryRemover:
    """Removes what is due in a thread of its own: many files take their time, and archives wait to be begun meanwhile.

    Args:
        book: All archives.
        root: The service's own place.
        keep_days: How long archives are kept after their end, days; None keeps them.
    """

    def __init__(self, book: ArchiveBook, root: Store, keep_days: float | None) -> None:
        self._book = book
        self._root = root
        self._keep_days = keep_days
        self._thread = ThreadPoolExecutor(1, "history of archives")
        self._under_way: Future[None] | None = None

    def look(self) -> None:
        """Begin to remove what is due, unless that is under way."""
        if self._under_way is None or self._under_way.done():
            self._under_way = self._thread.submit(self._remove)

    def end(self) -> None:
        """Begin nothing more; what is under way ends with the lease."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _remove(self) -> None:
        try:
            remove_old(self._book, self._root, self._keep_days)
        except LeaseLost:
            log.debug("Another runner goes on with the history.")
        except RssrError as error:
            log.warning("Old archives are removed later: %s", error)
        except Exception:
            log.exception("Old archives are removed later.")
