"""LDCSR's and LCMSR's jobs: one run over several scales, recognised again, resumed where it was killed."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

import rssr
from jobs import lcmsr
from tests.jobs.running import (
    ROOT,
    TIMEOUT_S,
    Finished,
    Run,
    environment,
    job_command,
    mlflow_metrics,
    mlflow_runs,
    paragraph,
    phase_digests,
    run_job_here,
    share_phases,
    with_store,
)

CODE_PHASES = {"ldcsr": "denoiser", "lcmsr": "consistency"}
BASELINES = ("constant colour", "bicubic", "untrained")
PATHS = ("condition code", "HR latent", "condition code before refinement", "HR latent before refinement")


def tiny(method: str) -> Path:
    return ROOT / "tests" / "data" / f"tiny_{method}.yaml"


@pytest.fixture(scope="module", params=CODE_PHASES)
def method(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def finished(method: str, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest job, in one process."""
    folder = with_store(tmp_path_factory.mktemp(method))
    result = run_job_here("num_workers=0", f"output.uri={folder}", preset=tiny(method), job=method)
    assert result.status == 0, result.err
    return Run(folder, result)


def test_every_phase_leaves_its_output_and_its_run(method: str, finished: Run) -> None:
    phases = ["autoencoder", CODE_PHASES[method], "refinement", "deviation"]
    assert mlflow_runs(finished.folder / "mlflow.db") == sorted((name, "FINISHED") for name in [*phases, method])
    held = phase_digests(finished.folder)
    assert "autoencoder/autoencoder.safetensors" in held
    assert {
        f"{CODE_PHASES[method]}/model.safetensors",
        f"{CODE_PHASES[method]}/raw_denoiser.safetensors",
    } <= held.keys()
    assert "refinement/model.safetensors" in held
    assert f"python jobs/{method}.py quickstart/{method}" in finished.result.out


def test_validation_tells_of_every_path(method: str, finished: Run) -> None:
    [done] = finished.folder.glob(f"phases/{CODE_PHASES[method]}-*/done.json")
    validation = json.loads(done.read_text())["validation"]
    assert {"psnr_db", "condition_psnr_db", "latent_psnr_db", "bicubic_psnr_db"} <= validation.keys()


def test_the_adversarial_loss_begins_within_the_phase(finished: Run) -> None:
    [done] = finished.folder.glob("phases/autoencoder-*/done.json")
    losses = json.loads(done.read_text())["losses"]
    assert ["loss/discriminator" in row for row in losses] == [False] * 3 + [True] * 3


def test_all_asked_scales_are_measured(method: str, finished: Run) -> None:
    [rows] = finished.folder.glob("evaluations/*.parquet")
    table = pq.read_table(rows).to_pylist()
    assert {(row["model"], row["scale"]) for row in table} == {
        (model, scale) for model in (*BASELINES, *PATHS, method) for scale in (2.0, 3.4)
    }
    own = [row["psnr_y_db"] for row in table if row["model"] == "condition code"]
    before = [row["psnr_y_db"] for row in table if row["model"] == "condition code before refinement"]
    assert own != before
    [report] = finished.folder.glob("reports/*.html")
    for scale in ("2", "3.4"):
        assert re.search(rf"<th[^>]*>Scale {re.escape(scale)} ", report.read_text())
    for path in PATHS:
        assert f"{path[0].upper()}{path[1:]} against bicubic" in report.read_text()
    tracked = mlflow_metrics(finished.folder / "mlflow.db")
    names = {f"evaluation/{path.replace(' ', '_')}/x{scale}/psnr_y_db" for path in PATHS for scale in ("2", "3.4")}
    assert names <= tracked


def test_error_bars_are_fitted_and_judged_on_different_held_out_images(finished: Run) -> None:
    [folder] = finished.folder.glob("models/*")
    model = rssr.load_model(folder)
    assert model.card is not None
    assert model.card.uncertainty is not None
    assert model.card.uncertainty.fitted_on is not None
    assert (model.card.uncertainty.fitted_on.num_images, model.card.uncertainty.num_images) == (2, 2)
    assert model.architecture["deviation_floor"] > 0
    [done] = finished.folder.glob("phases/deviation-*/done.json")
    validation = json.loads(done.read_text())["validation"]
    assert validation["deviation_factor"] == model.architecture["deviation_factor"]
    [report] = finished.folder.glob("reports/*.html")
    assert "fitted on 2 of the held-out images" in report.read_text()


def test_other_scales_of_the_evaluation_fit_the_error_bars_anew_and_nothing_else(
    method: str, finished: Run, tmp_path: Path
) -> None:
    share_phases(finished, tmp_path)
    overrides = ("num_workers=0", f"output.uri={tmp_path}", "evaluation.scales=[2]", "report.pictures=false")
    result = run_job_here(*overrides, preset=tiny(method), job=method)
    assert result.status == 0, result.err
    assert result.err.count("finished already") == 3
    assert len(list(tmp_path.glob("phases/deviation-*/done.json"))) == 2


def test_without_its_phase_error_bars_are_called_unfitted(method: str, finished: Run, tmp_path: Path) -> None:
    share_phases(finished, tmp_path)
    overrides = ("num_workers=0", f"output.uri={tmp_path}", "deviation=null", "report.pictures=false")
    result = run_job_here(*overrides, preset=tiny(method), job=method)
    assert result.status == 0, result.err
    [folder] = tmp_path.glob("models/*")
    card = rssr.load_model(folder).card
    assert card is not None
    assert card.uncertainty is not None
    assert card.uncertainty.fitted_on is None
    assert not (folder / "uncertainty_images.txt").exists()


def test_the_model_runs_at_any_scale_of_its_card(method: str, finished: Run) -> None:
    [folder] = finished.folder.glob("models/*")
    model = rssr.load_model(folder)
    assert model.name == method
    assert model.card is not None
    assert (model.card.method, model.card.scale_range) == (method, (1.0, 4.0))
    lr = np.random.default_rng(0).integers(0, 256, (3, 11, 13), dtype=np.uint8)
    assert rssr.super_resolve(lr, model, 2.7).shape == (3, 30, 35)
    [product] = finished.folder.glob("products/*/*_x4.tif")
    with rasterio.open(product) as sr:
        assert (sr.height, sr.width) == (80, 112)


def test_the_same_command_recognises_what_is_finished(method: str, finished: Run) -> None:
    before = phase_digests(finished.folder)
    again = run_job_here("num_workers=0", f"output.uri={finished.folder}", preset=tiny(method), job=method)
    assert again.status == 0, again.err
    assert again.err.count("finished already") == 4
    assert phase_digests(finished.folder) == before


def test_killed_within_the_denoiser_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    """The scaling of the latents is that of the first batch, which a resumed run does not see again."""
    longer = ("num_workers=0", "denoiser.num_steps=40", "phases=[autoencoder,denoiser]")
    undisturbed, killed = with_store(tmp_path / "undisturbed"), with_store(tmp_path / "killed")
    first = run_job_here(*longer, f"output.uri={undisturbed}", preset=tiny("ldcsr"), job="ldcsr")
    assert first.status == 0, first.err
    arguments = (*longer, f"output.uri={killed}")
    kill_within_denoiser(arguments, killed)
    assert not list(killed.glob("phases/denoiser-*/done.json")), "the kill came too late"
    resumed = run_job_here(*arguments, preset=tiny("ldcsr"), job="ldcsr")
    assert resumed.status == 0, resumed.err
    assert "phase denoiser goes on after step" in resumed.err
    assert phase_digests(killed) == phase_digests(undisturbed)


def kill_within_denoiser(arguments: tuple[str, ...], folder: Path) -> None:
    command = job_command(*arguments, preset=tiny("ldcsr"), job="ldcsr")
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment()) as job:
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not list(folder.glob("phases/denoiser-*/checkpoints/*/index.json")):
                assert job.poll() is None, job.communicate()[1]
                assert time.monotonic() < deadline_s, "no checkpoint"
                time.sleep(0.01)
        finally:
            job.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("autoencoder.decoder=fixed",), "data.scale is 1 to 4"),
        (("autoencoder.decoder=fixed", "data.scale=3", "evaluation.scales=[3]"), "autoencoder.fixed_scale (4)"),
        (("autoencoder.lr_patch_size=12",), "at least 24 pixels"),
        (("autoencoder.lpips_weight=1",), "vgg16.safetensors"),
        (("consistency.norm_num_groups=2",), "norm_num_groups"),
        (("consistency.head_channels=3",), "heads of 3"),
        (("autoencoder.lr_patch_size=40",), "holds a patch of 160 pixels"),
        (("evaluation.scales=[8]",), "data.scale (1 to 4)"),
    ],
)
def test_settings_that_cannot_train_are_refused_in_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    overrides: tuple[str, ...],
    expected: str,
) -> None:
    arguments = ["jobs/lcmsr.py", str(tiny("lcmsr")), *overrides, "num_workers=0", f"output.uri={tmp_path}"]
    monkeypatch.setattr(sys, "argv", arguments)
    status = lcmsr.main()
    assert expected in paragraph(Finished(status, *capfd.readouterr()))


def test_what_each_phase_takes_is_told_beforehand(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["jobs/lcmsr.py", "paper/lcmsr_x4", "phase.dry_run=true"])
    assert lcmsr.main() == 0
    out = capfd.readouterr().out
    first, second = (line.split() for line in out.splitlines() if line.startswith(("autoencoder", "consistency")))
    assert first[1:4] == ["4", "x", "192"]
    lpips, discriminator, encoder, decoder, quantisation = 14_716_160, 2_765_633, 6_082_568, 6_396_675, 72 + 20
    parameters, trained = (int(cell.replace(",", "")) for cell in first[5:7])
    assert parameters == lpips + discriminator + encoder + decoder + quantisation
    assert trained == parameters - lpips
    assert int(second[6].replace(",", "")) == 18_373_124 + 6_071_620, "denoiser and condition encoder"


def test_a_decoder_of_fixed_scale_trains_at_that_scale(tmp_path: Path) -> None:
    overrides = ("autoencoder.decoder=fixed", "data.scale=4", "evaluation.scales=[4]", "consistency.prediction=sample")
    output = f"output.uri={with_store(tmp_path)}"
    result = run_job_here(*overrides, "num_workers=0", output, preset=tiny("lcmsr"), job="lcmsr")
    assert result.status == 0, result.err
    [folder] = tmp_path.glob("models/*")
    model = rssr.load_model(folder)
    assert model.name == "lcmsr-x4"
    assert rssr.super_resolve(np.zeros((3, 9, 8), np.uint8), model, 4).shape == (3, 36, 32)
