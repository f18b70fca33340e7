"""How scenes of a bulk run are opened and made into products: the same for the planner and all workers."""

from dataclasses import dataclass, field

from pipelines.bulk.config import BulkConfig
from rssr.inference.chosen_model import check_deviation, check_scale
from rssr.inference.options import SceneOptions, TilingOptions
from rssr.inference.planning import plan_draws
from rssr.models.loaded import LoadedModel
from rssr.sentinel2 import Declared


@dataclass(frozen=True)
class BulkOptions(SceneOptions):
    """How one scene is made into a product.

    Attributes:
        declared: What the user says of Sentinel-2 products.
    """

    declared: Declared = field(default_factory=Declared)


def scene_options(config: BulkConfig, model: LoadedModel) -> BulkOptions:
    """What the configuration asks for, with what only the model knows.

    Raises:
        ModelError: The model was not trained for the scale, gives no uncertainty although that is asked for, or draws
            nothing although several samples are.
    """
    check_scale(model, config.scale)
    products, tiling = config.products, config.tiling
    if products.uncertainty:
        check_deviation(model)
    return BulkOptions(
        tiling=TilingOptions(tiling.tile_size, tiling.halo, tiling.color_match, tiling.batch_size),
        draws=plan_draws(model, config.seed, config.num_samples, with_deviation=products.uncertainty),
        with_deviation=products.uncertainty,
        project=products.project,
        other_bands=products.other_bands,
        stretch=products.stretch,
        declared=config.sentinel2,
    )
