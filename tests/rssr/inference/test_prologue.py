import numpy as np
import pytest
from pydantic import ValidationError

from rssr.card import ModelCard
from rssr.color import ColorMatch
from rssr.inference.arrays import ArrayScene
from rssr.inference.engine import Engine
from rssr.inference.options import TilingOptions
from rssr.inference.prologue import ScenePrologue
from rssr.models.loaded import LoadedModel, load_model
from rssr.scenes import generate_scene
from rssr.tiling import plan_tiles
from rssr.windows import assemble, plan_windows

CARD = ModelCard(name="x", method="ldcsr", bands=["red", "green", "blue"], scale_range=(1, 8), licence="CC0")


def engine() -> Engine:
    model: LoadedModel = load_model("bicubic")
    return Engine(model, TilingOptions(tile_size=32, halo=4, color_match="scene").completed(CARD))


def scene(side: int) -> ArrayScene:
    pixels = generate_scene(2, side, side).transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return ArrayScene(pixels, np.ones((side, side), np.bool_))


def test_it_travels_as_json_without_losing_a_bit() -> None:
    match = ColorMatch(np.array([1 / 3, np.nextafter(1, 2), 1e-300]), np.array([-1 / 7, 5e-324, 0.1 + 0.2]))
    back = ScenePrologue.from_json(ScenePrologue.of(match).to_json()).match
    assert back is not None
    assert back.gain.tobytes() == match.gain.tobytes()
    assert back.offset.tobytes() == match.offset.tobytes()
    assert ScenePrologue.from_json(ScenePrologue().to_json()).match is None


def test_gains_need_offsets() -> None:
    with pytest.raises(ValidationError, match="go together"):
        ScenePrologue(gains=(1.0,))


@pytest.mark.parametrize(("side", "from_all"), [(150, True), (260, False)])
def test_it_is_the_same_from_stored_windows_and_from_scratch(side: int, from_all: bool) -> None:
    plan = plan_tiles((side, side), (2 * side, 2 * side), 32, 4)
    one, other = engine(), engine()
    assert one.needs_all_rows(plan) == from_all
    windows = plan_windows(plan, 3)
    strips = {window.key: one.run_window(scene(side), plan, window) for window in windows}
    rows = assemble(plan, windows, lambda window, row: strips[window.key][row - window.rows[0]])
    assert one.prologue(scene(side), plan, rows) == other.prologue(scene(side), plan)
    assert other.counts.num_tiles == 0


def test_a_sample_of_tiles_tells_nearly_what_all_of_them_do() -> None:
    plan = plan_tiles((400, 400), (800, 800), 32, 4)
    sampled = engine().prologue(scene(400), plan).match
    whole = engine().prologue(scene(400), plan_tiles((400, 400), (800, 800), 60, 4)).match
    assert sampled is not None
    assert whole is not None
    np.testing.assert_allclose(sampled.gain, whole.gain, rtol=0.02)
    np.testing.assert_allclose(sampled.offset, whole.offset, atol=0.02)
