from rssr.weights.missing import MissingWeights, weights_error


def missing(name: str, place: str = "not in the attic", **values: str) -> MissingWeights:
    defaults = {"command": f"fetch {name}", "setting": f"{name}=DIR", "instead": "use others"}
    return MissingWeights(name, place, **{**defaults, **values})


def test_one_missing_file_is_told_with_place_command_and_setting() -> None:
    error = weights_error([missing("unet")])
    assert error.problem == "Pretrained weights are missing: unet (not in the attic)."
    assert error.remedy == "On a machine with a network run `fetch unet`; then set unet=DIR. To do without, use others."


def test_several_are_told_at_once_and_nothing_twice() -> None:
    error = weights_error(
        [
            missing("unet", "nowhere"),
            missing("vgg", setting="aux=DIR"),
            missing("dino", setting="aux=DIR"),
            missing("vgg"),
        ]
    )
    assert "unet (nowhere); vgg and dino (not in the attic)." in error.problem
    assert "run `fetch unet`, `fetch vgg` and `fetch dino`; then set unet=DIR, aux=DIR and vgg=DIR." in error.remedy
    assert str(error).count("use others") == 1
    assert "\n" not in str(error)
