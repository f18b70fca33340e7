"""Methods are not measured on what they have learnt from, unless that is said."""

from pathlib import Path

import pytest

from pipelines.datasets.manifest import Manifest
from pipelines.evaluation.learnt import TrainedMethod
from pipelines.evaluation.safety import check_splits
from rssr.card import Uncertainty
from rssr.errors import ConfigError, DataError, ExitCode
from tests.pipelines.evaluation.trained_methods import again, google, make_dataset, make_method

FILES = {f"{n}.png": again(google(n)) for n in range(6)}


@pytest.fixture
def aid(tmp_path: Path) -> Manifest:
    """Six images, five of them for training."""
    return make_dataset(tmp_path / "AID", FILES, num_train=5)


def refusal(methods: list[TrainedMethod], datasets: dict[str, Manifest], allowed: tuple[str, ...] = ()) -> str:
    with pytest.raises(DataError) as caught:
        check_splits(methods, datasets, allowed, None)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return str(caught.value)


@pytest.mark.parametrize("told", ["list", "manifest"])
def test_training_images_are_refused_with_all_that_one_needs_to_know(told: str, aid: Manifest, tmp_path: Path) -> None:
    copies = make_dataset(tmp_path / "elsewhere", {f"copy of {name}": data for name, data in FILES.items()})
    message = refusal([make_method(tmp_path / "models", "mine", aid, told)], {"Copies": copies})
    assert "mine was trained on 5 of the 6 images of Copies: copy of 0.png, copy of 1.png, copy of 2.png ..." in message
    assert message.endswith("allow_trained_on=[mine].")


def test_the_whole_training_set_is_refused_where_only_its_digest_is_known(aid: Manifest, tmp_path: Path) -> None:
    seen = make_dataset(tmp_path / "again", {r.key: FILES[r.key] for r in aid.split("train")})
    message = refusal([make_method(tmp_path / "models", "mine", aid, "digest")], {"Again": seen})
    assert "trained on 5 of the 5 images of Again" in message


def test_all_methods_and_datasets_are_told_at_once(aid: Manifest, tmp_path: Path) -> None:
    methods = [make_method(tmp_path / "models", name, aid) for name in ("one", "the other", "third")]
    few = make_dataset(tmp_path / "few", {"x.png": FILES["0.png"], "y.png": again(google(9))})
    message = refusal(methods, {"AID": aid, "Few": few}, ("third",))
    for name in ("one", "the other"):
        assert f"{name} was trained on 5 of the 6 images of AID: 0.png, 1.png, 2.png ..." in message
        assert f"{name} was trained on 1 of the 2 images of Few: x.png." in message
    assert "third was" not in message
    assert """'allow_trained_on=[one, "the other"]'""" in message


def test_held_out_images_are_measured(aid: Manifest, tmp_path: Path) -> None:
    held_out = make_dataset(tmp_path / "held out", {r.key: FILES[r.key] for r in aid.split("test")})
    found = check_splits([make_method(tmp_path / "models", "mine", aid)], {"AID": held_out}, (), None)
    assert found.shared == found.notices == ()


def test_what_is_allowed_is_counted_and_named(aid: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    methods = [make_method(tmp_path / "models", "mine", aid, "manifest")]
    found = check_splits(methods, {"AID": aid}, ["mine"], None)
    assert [(one.dataset, one.key, one.method, one.other, one.distance) for one in found.shared] == [
        ("AID", f"{n}.png", "mine", f"{n}.png", None) for n in range(5)
    ]
    assert "mine is measured on 5 images of AID that it was trained on" in caplog.text


def test_allowing_what_is_not_there_is_bad_input(aid: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"names yours.*mine"):
        check_splits([make_method(tmp_path / "models", "mine", aid)], {"AID": aid}, ["yours"], None)


def test_what_is_not_known_is_said(aid: Manifest, tmp_path: Path) -> None:
    method = make_method(tmp_path / "models", "official", aid, "no card")
    found = check_splits([method], {"AID": aid}, (), None)
    assert found.shared == ()
    assert found.notices == ("Whether official was trained on some of these images is not known: it has no card.",)


def test_images_that_error_bars_were_fitted_on_are_said(aid: Manifest, tmp_path: Path) -> None:
    """They are held out: the network has not seen them, so that they are not refused."""
    method = make_method(tmp_path / "models", "mine", aid)
    assert method.card is not None
    (method.folder / "fitted.txt").write_text(aid.split("test")[0].sha256 + "\n", "ascii")
    figures = {name: 0.5 for name in ("rmse", "rms_deviation", "correlation", "coverage_1", "coverage_2")}
    told = Uncertainty(
        **figures, num_images=2, calibration_error=0, likelihood_gain=0, fitted_images_sha256="fitted.txt"
    )
    trained = TrainedMethod("mine", method.card.model_copy(update={"uncertainty": told}), method.folder)
    held_out = make_dataset(tmp_path / "held out", {"5.png": FILES["5.png"]})
    [notice] = check_splits([trained], {"AID": held_out}, (), None).notices
    assert "fitted on 1 of the 1 images of AID" in notice
