import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rssr
from rssr.errors import ModelError
from rssr.models.registry import (
    MODELS,
    build_resolver,
    count_image_macs,
    count_parameters,
    create_model,
    list_models,
)

NAMES = [
    "bicubic",
    "slimdiffsr",
    "slimdiffsr-teacher",
    "slimdiffsr-uncertainty",
    "slimdiffsr-vae",
    "slimdiffsr-taesd",
    "slimdiffsr-wo-sap",
    "slimdiffsr-wo-dsc",
    "slimdiffsr-wo-fsc",
    "slimdiffsr-wo-qgam",
]
STUDENTS = [name for name in NAMES if name.startswith("slimdiffsr") and not name.endswith(("teacher", "uncertainty"))]

# Live parameters, published parameters, and the figure printed in Tables 2, 5 and 6 (millions).
COUNTS = {
    "slimdiffsr": (55_974_802, 58_053_402, "58.05"),
    "slimdiffsr-vae": (136_842_618, 138_893_178, "138.9"),
    "slimdiffsr-taesd": (55_633_818, 57_684_378, "57.68"),
    "slimdiffsr-wo-sap": (167_155_015, 168_331_135, "168.3"),
    "slimdiffsr-wo-dsc": (91_103_689, 93_182_289, "93.18"),
    "slimdiffsr-wo-fsc": (97_381_644, 99_460_244, "99.46"),
}


def tiny_values(name: str, tiny_architecture: dict[str, Any]) -> dict[str, Any]:
    values = {**tiny_architecture, "head_channels": 8, "vae_channels": [8, 8, 16, 16]}
    if name == "slimdiffsr-wo-sap":
        values |= {"block_channels": [8, 8, 16, 16], "mid_channels": 16}
    return values


def test_every_promised_name_is_listed() -> None:
    assert rssr.list_models() == list_models()
    assert set(NAMES) <= set(list_models())


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_come_out(name: str) -> None:
    live, published, printed = COUNTS[name]
    count = count_parameters(name)
    assert (count.live, count.published) == (live, published)
    assert count.difference == sum(count.parts.values())
    assert f"{published / 1e6:.{len(printed.split('.')[1])}f}" == printed
    assert MODELS[name].paper_millions == float(printed)


def test_count_without_qgam_comes_out_truncated() -> None:
    count = count_parameters("slimdiffsr-wo-qgam")
    assert (count.live, count.published) == (64_443_282, 81_117_658)
    assert count.published // 10_000 == 8111 == round(MODELS["slimdiffsr-wo-qgam"].paper_millions * 100)
    assert count.parts["merge convolutions, not counted"] == -369_024


def test_other_widths_have_no_published_count(tiny_architecture: dict[str, Any]) -> None:
    count = count_parameters("slimdiffsr", **tiny_architecture)
    assert count.published is None
    assert count.difference is None
    assert count.live == sum(p.numel() for p in create_model("slimdiffsr", **tiny_architecture).parameters())


@pytest.mark.parametrize("name", NAMES)
def test_cost_is_counted_where_the_input_is_an_image(name: str) -> None:
    counted = count_image_macs(name, 64)
    assert (counted is None) == (name in ("bicubic", "slimdiffsr-uncertainty"))
    if counted is not None:
        assert counted.layers > 1e9
        assert counted.attention > 0


@pytest.mark.parametrize("name", STUDENTS)
def test_every_student_runs_and_learns_everywhere(name: str, tiny_architecture: dict[str, Any]) -> None:
    network = create_model(name, **tiny_values(name, tiny_architecture))
    side = network.stride
    image = network(torch.rand(1, 3, side, 2 * side) * 2 - 1)
    assert image.shape == (1, 3, side, 2 * side)
    image.square().sum().backward()
    dead = [key for key, p in network.named_parameters() if p.grad is None]
    assert dead == []


@pytest.mark.parametrize("name", [*STUDENTS, "bicubic"])
def test_resolvers_give_exactly_the_asked_size(name: str, tiny_architecture: dict[str, Any]) -> None:
    values = {} if name == "bicubic" else tiny_values(name, tiny_architecture)
    resolver = build_resolver(name, create_model(name, **values))

    @settings(max_examples=6, deadline=None)
    @given(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 40)] * 2))
    def check(lr_size: tuple[int, int], output_size: tuple[int, int]) -> None:
        sr = resolver(torch.rand(1, 3, *lr_size) * 2 - 1, output_size)
        assert sr.shape == (1, 3, *output_size)
        assert sr.isfinite().all()

    check()


def test_bands_are_free(tiny_architecture: dict[str, Any]) -> None:
    network = create_model("slimdiffsr", **{**tiny_architecture, "bands": 4})
    resolver = build_resolver("slimdiffsr", network)
    assert resolver(torch.zeros(1, 4, 5, 5), (10, 10)).shape == (1, 4, 10, 10)


def test_unknown_names_and_values_are_explained() -> None:
    with pytest.raises(ModelError, match="Did you mean 'slimdiffsr'"):
        create_model("slimdifsr")
    with pytest.raises(ModelError, match="block_channels"):
        create_model("slimdiffsr", block_channel=(32, 64))
    with pytest.raises(ModelError, match="num_layers"):
        create_model("slimdiffsr-uncertainty", num_layers=3)


def test_networks_without_an_image_are_no_resolvers() -> None:
    with pytest.raises(ModelError, match="yields no image"):
        build_resolver("slimdiffsr-uncertainty", create_model("slimdiffsr-uncertainty", channels=4, num_blocks=1))


def test_networks_need_nothing_but_torch_numpy_and_safetensors(tmp_path: Path) -> None:
    """A finder refuses every package that neither we nor PyTorch itself declare."""
    script = textwrap.dedent(
        """
        import importlib.metadata as metadata, re, sys
        from pathlib import Path

        def requirements(name, found):
            if name in found:
                return found
            found.add(name)
            try:
                declared = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                return found
            for line in declared:
                if "extra ==" not in line:
                    requirements(re.match(r"[A-Za-z0-9._-]+", line).group(), found)
            return found

        names = {"rssr", "safetensors", "numpy"} | requirements("torch", set())
        allowed = {name.lower().replace("-", "_") for name in names} | {"torchgen", "functorch", "markupsafe"}
        refused = set()

        class Refusal:
            def find_spec(self, name, path=None, target=None):
                top = name.partition(".")[0]
                if top.lower() not in allowed and top not in sys.stdlib_module_names and not top.startswith("_"):
                    refused.add(top)
                    raise ModuleNotFoundError(f"No module named {top!r}", name=top)
                return None

        sys.meta_path.insert(0, Refusal())
        for package in ("pydantic", "yaml", "diffusers", "PIL", "rasterio", "ray", "mlflow", "scipy", "cv2"):
            assert package not in allowed
            try:
                __import__(package)
            except ModuleNotFoundError:
                continue
            raise AssertionError(f"{package} was not refused")

        import torch
        import rssr
        from rssr.models.registry import build_resolver
        from rssr.weights.folder import save_model_folder

        values = dict(block_channels=[8, 16], mid_channels=16, layers_per_block=1, taesd_channels=4,
                      num_encoder_blocks=[1, 1], num_decoder_blocks=[1, 1], norm_num_groups=8)
        network = rssr.create_model("slimdiffsr", **values)
        assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)
        folder = Path(sys.argv[1])
        save_model_folder(folder, "slimdiffsr", values, network, None)
        lr = torch.rand(1, 3, 5, 7)
        again = rssr.load_model(folder).resolver(lr, (20, 28))
        assert torch.equal(again, build_resolver("slimdiffsr", network)(lr, (20, 28)))
        small = dict(channels=8, channel_multipliers=[1, 1, 1, 2], num_res_blocks=1, num_distillation_blocks=1,
                     upsampler_channels=8, denoiser_channels=16, denoiser_multipliers=[1, 1, 1, 2],
                     denoiser_num_res_blocks=1, head_channels=8, norm_num_groups=4)
        for name in ("ldcsr", "lcmsr"):
            resolver = build_resolver(name, rssr.create_model(name, **small).eval())
            assert resolver(lr, (20, 28)).shape == (1, 3, 20, 28)
        print("done")
        """
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "done"
