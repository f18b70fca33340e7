import numpy as np
import pytest

from rssr.errors import ConfigError
from rssr.scenes import SCENE_KINDS, generate_scene


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_same_arguments_give_the_same_picture(kind: str) -> None:
    first = generate_scene(3, 96, 128, kind=kind)
    assert first.shape == (96, 128, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, generate_scene(3, 96, 128, kind=kind))


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_another_seed_gives_another_picture(kind: str) -> None:
    assert (generate_scene(1, 64, 64, kind=kind) != generate_scene(2, 64, 64, kind=kind)).mean() > 0.5


@pytest.mark.parametrize("kind", SCENE_KINDS)
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (65, 3), (33, 47)])
def test_any_size_can_be_painted(kind: str, size: tuple[int, int]) -> None:
    assert generate_scene(5, *size, kind=kind).shape == (*size, 3)


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_structure_dominates_over_pixel_noise(kind: str) -> None:
    """Neighbouring pixels agree far better than distant ones, as in pictures and unlike noise."""
    scene = generate_scene(11, 256, 256, kind=kind).astype(np.float64).mean(axis=2)
    neighbour = np.corrcoef(scene[:, :-1].ravel(), scene[:, 1:].ravel())[0, 1]
    distant = np.corrcoef(scene[:, :-60].ravel(), scene[:, 60:].ravel())[0, 1]
    assert neighbour > 0.8
    assert neighbour > distant + 0.2


@pytest.mark.parametrize("kind", SCENE_KINDS)
def test_fine_detail_is_lost_when_the_picture_is_reduced(kind: str) -> None:
    """Super-resolution has something to do: averaging 4x4 pixels changes the picture visibly."""
    scene = generate_scene(7, 256, 256, kind=kind).astype(np.float64)
    coarse = scene.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3)).repeat(4, axis=0).repeat(4, axis=1)
    psnr = 10 * np.log10(255**2 / np.mean((scene - coarse) ** 2))
    assert 18 < psnr < 36


@pytest.mark.parametrize(("arguments", "word"), [({"kind": "moon"}, "moon"), ({"gsd_m": 0.0}, "0.0 m")])
def test_impossible_scenes_are_refused_by_name(arguments: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        generate_scene(0, 8, 8, **arguments)  # type: ignore[arg-type]  # wrong values are the point
