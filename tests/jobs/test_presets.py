import ast
import importlib
import re
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import yaml

from pipelines.entry import PRESETS
from pipelines.evaluation.config import EvaluateConfig
from rssr.configuration import Config, config_digest, describe, flatten, load_config, to_yaml
from tests.jobs.running import paragraph, run_job_here

JOBS = PRESETS.parent
PRESET_FILES = sorted(PRESETS.rglob("*.yaml"))
# Called after the papers' tables, as people look for them, and not after their job.
OF_TABLES = ("table2", "table3", "table4", "ldcsr_integer", "ldcsr_continuous")
EVALUATION_FILES = [path for path in PRESET_FILES if path.stem in OF_TABLES or path.name.startswith("evaluate")]
OTHER_FILES = [path for path in PRESET_FILES if path.stem in ("ingest", "bulk", "serve")]
TRAINING_FILES = [path for path in PRESET_FILES if path not in (*EVALUATION_FILES, *OTHER_FILES)]
PAPER_FILES = [path for path in TRAINING_FILES if path.parent.name == "paper"]
JOB_FILES = sorted(JOBS.glob("*.py"))

# What LDCSR and LCMSR share.
LATENT: dict[str, Any] = {
    "data.degradation.kind": "bicubic",
    "data.num_test": 2000,
    "autoencoder.num_steps": 1000 * 4000 // 4,
    "autoencoder.batch_size": 4,
    "autoencoder.lr_patch_size": 48,
    "autoencoder.rotations": True,
    "autoencoder.learning_rate": 4 * 4.5e-6,
    "autoencoder.optimizer": "adam",
    "autoencoder.betas": (0.5, 0.9),
    "autoencoder.max_gradient_norm": 0,
    "autoencoder.micro_batches_per_step": 1,
    "autoencoder.decay": "none",
    "autoencoder.latent_channels": 4,
    "autoencoder.channels": 64,
    "autoencoder.condition_channels": 0,
    "autoencoder.decoder_channels": 0,
    "autoencoder.channel_multipliers": (1, 2, 2, 4),
    "autoencoder.num_res_blocks": 2,
    "autoencoder.num_distillation_blocks": 12,
    "autoencoder.upsampler_channels": 256,
    "autoencoder.norm_num_groups": 32,
    "autoencoder.lpips_weight": 1.0,
    "autoencoder.pixel_log_variance": 0,
    "autoencoder.kl_weight": 1e-6,
    "autoencoder.gan_weight": 0.5,
    "autoencoder.gan_start_step": 50_001,
    "autoencoder.discriminator_channels": 64,
    "autoencoder.discriminator_layers": 3,
    "refinement": None,
    "product.color_match": "none",
}


def of_phase(name: str) -> dict[str, Any]:
    """The published second stage that LDCSR and LCMSR share, under the name that it has in each."""
    values = {
        "batch_size": 8,
        "patch_size": 256,
        "lr_patch_size": None,
        "rotations": True,
        "learning_rate": 8 * 1e-5,
        "optimizer": "adamw",
        "betas": (0.9, 0.999),
        "weight_decay": 0.01,
        "max_gradient_norm": 0,
        "micro_batches_per_step": 1,
        "decay": "none",
        "channels": 64,
        "channel_multipliers": (1, 2, 2, 4),
        "num_res_blocks": 2,
        "attention_resolutions": (8,),
        "head_channels": 32,
        "scale_embedding": "integer",
        "condition_weight": 1.0,
        "average_decay": 0.9999,
    }
    return {f"{name}.{key}": value for key, value in values.items()}


# The published hyperparameters, a second time; by job, and by preset where one differs on purpose.
# SlimDiffSR, section 4.2: optimizers, learning rates, iterations, batch and crop sizes, loss weights, LoRA ranks;
# sections 3.2 to 3.5: the networks; the authors' released configuration: the ranges of the degradation.
PUBLISHED: dict[str, dict[str, Any]] = {
    "slimdiffsr": {
        "uncertainty.patch_size": 512,
        "teacher.optimizer": "adamw",
        "teacher.learning_rate": 2e-4,
        "teacher.num_steps": 25_000,
        "teacher.batch_size": 2,
        "teacher.patch_size": 512,
        "teacher.unet_lora_rank": 32,
        "teacher.decoder_lora_rank": 16,
        "teacher.timestep": "map",
        "teacher.use_uncertainty": True,
        "teacher.reconstruction.lpips_weight": 2.5,
        "teacher.reconstruction.gan_weight": 0.25,
        "student.optimizer": "adam",
        "student.learning_rate": 5e-5,
        "student.num_steps": 100_000,
        "student.batch_size": 16,
        "student.patch_size": 512,
        "student.distillation_weight": 1.0,
        "student.mmd_weight": 0.1,
        "student.num_queries": 32,
        "student.query_channels": 64,
        "student.reconstruction.lpips_weight": 2.5,
        "student.reconstruction.gan_weight": 0.25,
        "student.autoencoder": "fused",
        "student.pruning": "semantic",
        "student.first_conv": "fsc",
        "student.second_conv": "dsc",
        "student.attention": "qgam",
        "ablation": None,
        "base_weights.stable_diffusion": "stabilityai/sd-turbo",
        "base_weights.taesd": "madebyollin/taesd",
        "data.degradation.kind": "slimdiffsr",
        "data.degradation.first.blur.probability": 1.0,
        "data.degradation.first.blur.sigma_range": (0.2, 1.5),
        "data.degradation.first.blur.kernel_size_range": (7, 21),
        "data.degradation.first.blur.kernel_probabilities": (0.45, 0.25, 0.12, 0.03, 0.12, 0.03),
        "data.degradation.first.blur.sinc_probability": 0.1,
        "data.degradation.first.blur.generalized_beta_range": (0.5, 2.0),
        "data.degradation.first.blur.plateau_beta_range": (1.0, 1.5),
        "data.degradation.first.resize_probabilities": (0.2, 0.7, 0.1),
        "data.degradation.first.resize_range": (0.3, 1.5),
        "data.degradation.first.gaussian_probability": 0.5,
        "data.degradation.first.gaussian_sigma_range": (1.0, 15.0),
        "data.degradation.first.poisson_scale_range": (0.05, 2.0),
        "data.degradation.first.gray_probability": 0.4,
        "data.degradation.first.jpeg_quality_range": (60.0, 95.0),
        "data.degradation.second.blur.probability": 0.5,
        "data.degradation.second.blur.sigma_range": (0.2, 1.0),
        "data.degradation.second.resize_probabilities": (0.3, 0.4, 0.3),
        "data.degradation.second.resize_range": (0.6, 1.2),
        "data.degradation.second.gaussian_probability": 0.5,
        "data.degradation.second.gaussian_sigma_range": (1.0, 12.0),
        "data.degradation.second.poisson_scale_range": (0.05, 1.0),
        "data.degradation.second.gray_probability": 0.4,
        "data.degradation.second.jpeg_quality_range": (60.0, 100.0),
        "data.degradation.final_sinc_probability": 0.8,
        "data.degradation.jpeg_first_probability": 0.5,
    },
    # LDCSR and LCMSR: the configurations of the authors' repository; learning rates are base rates times the batch.
    "ldcsr": {
        **LATENT,
        **of_phase("denoiser"),
        "denoiser.num_timesteps": 4,
        "denoiser.beta_start": 0.1,
        "denoiser.beta_end": 0.99,
    },
    "lcmsr": {
        **LATENT,
        **of_phase("consistency"),
        "consistency.num_timesteps": 1000,
        "consistency.beta_start": 0.0015,
        "consistency.beta_end": 0.0155,
        "consistency.timestep_gap": 250,
    },
}
VARIED: dict[str, set[str]] = {}

LATENT_DEVIATION = {
    "deviation.num_steps": 200,
    "deviation.batch_size": 8,
    "deviation.patch_size": 256,
    "deviation.learning_rate": 0.05,
    "deviation.optimizer": "adam",
}
# What neither paper nor authors give, as decided for all of them.
DECIDED: dict[str, dict[str, Any]] = {
    "slimdiffsr": {
        "uncertainty.num_steps": 50_000,
        "uncertainty.batch_size": 16,
        "uncertainty.learning_rate": 2e-4,
        "uncertainty.optimizer": "adamw",
        "uncertainty.channels": 64,
        "uncertainty.num_blocks": 16,
        "teacher.tv_weight": 1e-3,
        "student.mmd_samples": 1024,
        "deviation.num_steps": 5000,
        "deviation.batch_size": 16,
        "deviation.patch_size": 512,
        "deviation.learning_rate": 1e-3,
        "deviation.channels": 64,
    },
    "ldcsr": {"denoiser.num_steps": 1000 * 4000 // 8, **LATENT_DEVIATION},
    "lcmsr": {"consistency.num_steps": 1000 * 4000 // 8, "consistency.final_renoise": False, **LATENT_DEVIATION},
}
# Pretrained networks that the papers' presets need, and what fetches or makes them.
NEEDED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slimdiffsr": (
        ("stabilityai/sd-turbo", "madebyollin/taesd"),
        ("vgg16.safetensors", "lpips_vgg.safetensors", "dino_vits16.safetensors"),
    ),
    "ldcsr": ((), ("vgg16.safetensors", "lpips_vgg.safetensors")),
    "lcmsr": ((), ("vgg16.safetensors", "lpips_vgg.safetensors")),
}
# What sets the presets of one paper apart.
OF_PRESET: dict[str, dict[str, Any]] = {
    "slimdiffsr_x4": {"data.scale": 4.0, "registry.name": "slimdiffsr-x4"},
    "slimdiffsr_x8": {"data.scale": 8.0, "registry.name": "slimdiffsr-x8"},
    "slimdiffsr_any": {"data.scale": (1.0, 8.0), "registry.name": "slimdiffsr-any"},
    "ldcsr": {"data.scale": (1.0, 8.0), "autoencoder.decoder": "continuous", "registry.name": "ldcsr"},
    "lcmsr_continuous": {
        "data.scale": (1.0, 8.0),
        "autoencoder.decoder": "continuous",
        "consistency.prediction": "noise",
        "registry.name": "lcmsr",
    },
    "lcmsr_x4": {
        "data.scale": 4.0,
        "autoencoder.decoder": "fixed",
        "autoencoder.fixed_scale": 4,
        "consistency.prediction": "sample",
        "registry.name": "lcmsr-x4",
    },
}


def job_config(job: str) -> type[Config]:
    """The configuration class that a job file hands to the command line."""
    if job == "evaluate":
        return EvaluateConfig
    tree = ast.parse((JOBS / f"{job}.py").read_text(encoding="utf-8"))
    [call] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run_job"
    ]
    assert isinstance(call.args[0], ast.Name)
    name = call.args[0].id
    [module] = [
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and name in {alias.name for alias in node.names}
    ]
    found: type[Config] = getattr(importlib.import_module(module), name)
    return found


def job_of(preset: Path) -> str:
    """A preset is called after its job: `lcmsr.yaml`, `lcmsr_x4.yaml`; those of the papers' tables are not."""
    if preset in EVALUATION_FILES:
        return "evaluate"
    return re.split(r"[_.-]", preset.name)[0]


def name_of(path: Path) -> str:
    return path.relative_to(JOBS).as_posix()


@pytest.mark.parametrize("preset", PRESET_FILES, ids=name_of)
def test_every_preset_loads_with_its_job_and_survives_being_resolved(preset: Path, tmp_path: Path) -> None:
    config = load_config(job_config(job_of(preset)), preset)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(to_yaml(config), encoding="utf-8")
    again = load_config(type(config), resolved)
    assert again == config
    assert config_digest(again) == config_digest(config)


@pytest.mark.parametrize("preset", PRESET_FILES, ids=name_of)
def test_presets_stand_alone_and_hold_values_only(preset: Path) -> None:
    text = preset.read_text(encoding="utf-8")
    assert text.startswith("# "), "a preset says first what it is for"
    assert not re.search(r"[&*!]\w+|<<:|rssr\.\w|pipelines\.\w", re.sub(r"#.*", "", text))
    assert not [
        key for key in flatten(yaml.safe_load(text)) if key.split(".")[0] in ("output", "ray", "mlflow", "fresh")
    ]


@pytest.mark.parametrize("preset", TRAINING_FILES, ids=name_of)
def test_presets_of_papers_hold_the_published_values_and_others_say_that_they_are_reduced(preset: Path) -> None:
    job = job_of(preset)
    held = flatten(load_config(job_config(job), preset).model_dump())
    name = str(held["registry.name"])
    if preset.parent.name != "paper":
        assert "-quickstart" in name
        return
    assert "-quickstart" not in name
    varied = VARIED.get(preset.stem, set())
    assert varied <= PUBLISHED[job].keys()
    expected = {key: value for key, value in PUBLISHED[job].items() if key not in varied}
    expected |= DECIDED.get(job, {}) | OF_PRESET.get(preset.stem, {})
    assert {key: held[key] for key in expected} == expected


@pytest.mark.parametrize("preset", PAPER_FILES, ids=name_of)
def test_presets_of_papers_say_of_every_value_where_it_comes_from(preset: Path) -> None:
    source = re.compile(r"# .*\b(sections? \d|Table \d|Tables \d|Eq\. \d|Fig\. \d|authors' code|ours)")
    values = [line for line in preset.read_text(encoding="utf-8").splitlines() if re.match(r"\s*\w+: [^#]", line)]
    assert len(values) > 40
    unsourced = [line for line in values if not source.search(line)]
    assert [line.split(":")[0].strip() for line in unsourced] == ["name", "licence"]


@pytest.mark.parametrize("preset", PAPER_FILES, ids=name_of)
def test_without_the_pretrained_weights_a_preset_of_a_paper_says_how_to_fetch_them(
    preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything else: no image is looked for, no GPU asked for."""
    hub, job = tmp_path / "hub", job_of(preset)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    result = run_job_here(f"output.uri={tmp_path / 'runs'}", preset=preset, cwd=tmp_path, job=job)
    message = paragraph(result)
    downloads, files = NEEDED[job]
    for name in downloads:
        assert f"`hf download {name} --local-dir DIR`" in message
    for name in files:
        assert f"weights/auxiliary/{name}" in message
    assert (str(hub) in message) == ("base_weights.stable_diffusion=DIR" in message) == bool(downloads)
    assert ("dino_vits16" in message) == ("dino_vits16.safetensors" in files)
    assert not (tmp_path / "runs").exists()


def test_every_job_has_the_preset_that_it_starts_with() -> None:
    for job in JOB_FILES:
        defaults = re.findall(r'"([\w/]+\.yaml)"', job.read_text(encoding="utf-8"))
        assert defaults
        assert all((PRESETS / name).is_file() for name in defaults)


@pytest.mark.parametrize("job", [path.stem for path in JOB_FILES])
def test_every_key_of_a_job_has_a_meaning(job: str) -> None:
    lines = describe(job_config(job)).splitlines()
    for key, meaning in zip(lines[::2], lines[1::2], strict=True):
        assert meaning.strip().endswith("."), f"{job}: {key.strip()} has no docstring"
        assert "FieldInfo" not in key


@pytest.mark.parametrize("job", [path.stem for path in JOB_FILES])
def test_keys_say_their_unit(job: str) -> None:
    """Seconds, bytes, metres and counts are recognised by name; pixels and decibels are told."""
    lines = describe(job_config(job)).splitlines()
    for key, meaning in zip(lines[::2], lines[1::2], strict=True):
        name = key.split()[0].rsplit(".", 1)[-1]
        if name.endswith("_bytes"):
            assert "bytes" in meaning.lower(), key
        if name in ("size", "patch_size", "tile_size", "halo", "border", "max_side", "height", "width"):
            assert re.search("pixels", meaning), key
        if name.endswith("_m"):
            assert "metres" in meaning, key
        if name.endswith("_db"):
            assert "dB" in meaning, key


@pytest.mark.parametrize("job", [path.stem for path in JOB_FILES])
def test_no_key_of_a_job_takes_a_secret(job: str) -> None:
    keys = [line.split()[0] for line in describe(job_config(job)).splitlines()[::2]]
    assert keys
    secrets = re.compile(r"secret|password|token|credential|access_key|api_key")
    assert [key for key in keys if secrets.search(key)] == []


@pytest.mark.parametrize("job", ["slimdiffsr", "ldcsr", "lcmsr"])
def test_training_jobs_share_their_keys(job: str) -> None:
    keys = {line.split()[0] for line in describe(job_config(job)).splitlines()[::2]}
    assert keys >= {
        "output.uri",
        "data.uri",
        "phases",
        "seed",
        "fresh",
        "ray.address",
        "mlflow.tracking_uri",
        "num_workers",
    }


def test_a_dotted_override_reaches_below_a_degradation_that_is_named_only() -> None:
    config = load_config(
        job_config("slimdiffsr"),
        PRESETS / "quickstart" / "slimdiffsr.yaml",
        ["data.degradation.second.gray_probability=0.2", "student.learning_rate=3e-4", "data.sample.num_images=9"],
    )
    held = flatten(config.model_dump())
    assert held["data.degradation.second.gray_probability"] == 0.2
    assert held["data.degradation.first.gray_probability"] == 0.4
    assert held["student.learning_rate"] == 3e-4
    assert held["data.sample.num_images"] == 9
    assert (
        held["data.sample.size"]
        == yaml.safe_load((PRESETS / "quickstart" / "slimdiffsr.yaml").read_text())["data"]["sample"]["size"]
    )
