"""How well tiles are hidden and scenes are kept, over all products."""

from collections.abc import Iterable

from pipelines.bulk.result import BulkResult
from pipelines.report import Part, histogram, prose
from rssr.metrics.seams import SEAM_LIMIT

FEWEST_FOR_DRAWINGS = 2
"""Products: a drawing of one shows no more than its row in the table, and drawing takes seconds to begin."""


def measures(result: BulkResult) -> Iterable[Part]:
    """Histograms of seam scores and of mean consistency."""
    products = [scene.product for scene in result.products if scene.product is not None]
    yield prose(
        f"A seam score of 1 says that tiles do not show; above {SEAM_LIMIT:g} they do, and a product does not count as "
        "good."
    )
    if len(products) < FEWEST_FOR_DRAWINGS:
        yield prose("There is one product: the table of scenes has its figures.")
        return
    split = (SEAM_LIMIT, "tiles do not show", "tiles show")
    scores = [product.seam_score for product in products]
    yield histogram(scores, "Seam scores", "seam score", "products", split, below_is_good=True)
    kept = [product.mean_consistency for product in products if product.mean_consistency is not None]
    if kept:
        yield histogram(kept, "Distance from the scenes on their own grid", "mean, in the scenes' units", "products")
