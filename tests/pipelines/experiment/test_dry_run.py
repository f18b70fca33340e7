import weakref
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.experiment.dry_run import PhaseEstimate, estimate_phase
from rssr.methods.phase import Batch, PhaseInputs
from rssr.methods.slimdiffsr.method import SlimDiffSRMethod

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PHASES = ("base", "uncertainty", "teacher", "student", "deviation")
UNET, AUTOENCODER, TAESD_STUDENT = 865_910_724, 83_653_863, 55_974_802
UNET_ADAPTERS, DECODER_ADAPTERS = 34_125_056, 2_050_672
VGG, LPIPS_LINEAR, DINO = 14_714_688, 1_472, 21_665_664

Change = tuple[tuple[str, float], ...]  # values of a phase's section by key


@cache
def tiny_method(precision: str = "float32", losses: bool = False, **changes: Change) -> SlimDiffSRMethod:
    """Every part as narrow as can be; with or without the losses whose networks are of one size only."""
    training = {"num_steps": 6, "batch_size": 2, "patch_size": 64, "learning_rate": 1e-3, "precision": precision}
    reconstruction = {"lpips_weight": 2.5, "gan_weight": 0.25} if losses else {"lpips_weight": 0, "gan_weight": 0}
    base = {
        "autoencoder_steps": 3,
        "autoencoder_channels": (4, 4, 8, 8),
        "tiny_channels": 8,
        "unet_channels": (8, 16, 16, 24),
        "norm_num_groups": 4,
        "prompt_width": 8,
    }
    teacher = {"unet_lora_rank": 2, "decoder_lora_rank": 3, "predictor_channels": 8, "predictor_blocks": 1}
    sections: dict[str, dict[str, Any]] = {
        "base": base,
        "uncertainty": {"channels": 8, "num_blocks": 1},
        "teacher": {**teacher, "reconstruction": reconstruction},
        "student": {"num_queries": 4, "mmd_samples": 32, "reconstruction": reconstruction},
        "deviation": {"channels": 8},
    }
    return SlimDiffSRMethod.from_values(
        {name: {**training, **values, **dict(changes.get(name, ()))} for name, values in sections.items()}
    )


@cache
def estimated(name: str, precision: str = "float32", losses: bool = False, **changes: Change) -> PhaseEstimate:
    return estimate_phase(tiny_method(precision, losses, **changes), name, (4.0, 4.0), CPU)


def saved_by_real_tensors(method: SlimDiffSRMethod, name: str) -> int:
    """Bytes that autograd keeps on this machine, of the loss that keeps most; counted without the code under test."""
    torch.manual_seed(0)
    phase = method.build_phase(name, PhaseInputs({}, CPU, reads_weights=False))
    weights = {t.data_ptr() for n in phase.networks().values() for t in (*n.parameters(), *n.buffers())}
    most = 0
    for step in range(phase.config.num_steps):
        batch, carry = Batch(torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64), 4.0), dict[str, Tensor]()
        for objective in phase.objectives().values():
            if step not in objective.active_steps(phase.config.num_steps):
                continue
            kept: list[weakref.ref[Tensor]] = []  # alive as long as the loss's graph needs them

            def keep(tensor: Tensor, kept: list[weakref.ref[Tensor]] = kept) -> Tensor:
                kept.append(weakref.ref(tensor))
                return tensor

            half = torch.autocast("cpu", torch.bfloat16, enabled=phase.config.precision == "bfloat16")
            with half, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                loss = objective.train()(batch, step, carry)
            carry |= loss.carry
            storages = [tensor.untyped_storage() for reference in kept if (tensor := reference()) is not None]
            sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
            most = max(most, sum(size for address, size in sizes.items() if address not in weights))
    return most


@pytest.mark.parametrize("name", PHASES)
def test_estimated_activations_are_those_of_real_tensors(name: str) -> None:
    estimate = estimated(name, losses=name == "student")
    assert estimate.activations.saved == saved_by_real_tensors(tiny_method(losses=name == "student"), name)
    assert estimate.activations.peak >= estimate.activations.saved


@pytest.mark.parametrize("name", ["base", "student"])
def test_estimates_hold_in_half_precision(name: str) -> None:
    saved = estimated(name, "bfloat16").activations.saved
    # Norms keep their statistics in single precision on a CPU, which the estimate counts in half.
    assert saved == pytest.approx(saved_by_real_tensors(tiny_method("bfloat16"), name), rel=0.01)


@pytest.mark.parametrize("name", PHASES)
def test_counts_and_weights_are_those_of_the_real_networks(name: str) -> None:
    estimate = estimated(name, losses=name == "student")
    phase = tiny_method(losses=name == "student").build_phase(name, PhaseInputs({}, CPU, reads_weights=False))
    parameters = {id(p): p for network in phase.networks().values() for p in network.parameters()}
    trained = [p for objective in phase.objectives().values() for p in objective.trained_parameters().values()]
    assert estimate.num_parameters == sum(p.numel() for p in parameters.values())
    assert estimate.num_trained == sum(p.numel() for p in trained)
    assert estimate.gradient_bytes == 4 * estimate.num_trained
    optimizer = torch.optim.AdamW(trained)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [value for state in optimizer.state.values() for key, value in state.items() if key != "step"]
    assert estimate.optimizer_bytes == sum(moment.numel() * 4 for moment in moments)
    buffers = {id(b): b for network in phase.networks().values() for b in network.buffers()}
    held = (*parameters.values(), *buffers.values())
    assert estimate.weight_bytes == sum(tensor.numel() * tensor.element_size() for tensor in held)


def test_a_student_without_distillation_holds_no_teacher() -> None:
    with_teacher = estimated("student", losses=True)
    alone = estimated("student", losses=True, student=(("distillation_weight", 0.0),))
    assert alone.num_parameters < with_teacher.num_parameters
    assert alone.activations.saved < with_teacher.activations.saved


def test_activations_grow_with_the_batch_and_the_patch() -> None:
    changes = ((), (("batch_size", 4),), (("patch_size", 128),))
    one, two, wide = (estimated("uncertainty", uncertainty=change).activations.saved for change in changes)
    assert 1.9 * one < two < 2.1 * one
    assert 3.5 * one < wide < 4.1 * one


@pytest.fixture(scope="module")
def published() -> Iterator[dict[str, PhaseEstimate]]:
    """The paper's networks and losses, on a GPU in half precision."""
    training = {"num_steps": 9, "batch_size": 2, "patch_size": 512, "learning_rate": 5e-5, "precision": "bfloat16"}
    reconstruction = {"lpips_weight": 2.5, "gan_weight": 0.25}
    method = SlimDiffSRMethod.from_values(
        {
            "base_weights": {"stable_diffusion": "stabilityai/sd-turbo", "taesd": "madebyollin/taesd"},
            "uncertainty": training,
            "teacher": {**training, "reconstruction": reconstruction, "unet_lora_rank": 32, "decoder_lora_rank": 16},
            "student": {**training, "reconstruction": reconstruction},
        }
    )
    yield {name: estimate_phase(method, name, (4.0, 4.0), CUDA) for name in ("uncertainty", "teacher", "student")}


def test_the_published_sizes_come_out(published: dict[str, PhaseEstimate]) -> None:
    estimator, predictor = 1_188_680, 300_673
    heads = 4 * (384 * 128 + 128 + 128 * 9 * 128 + 128 + 128 + 1)
    adapters = 2 * (320**2 + 320) + 2 * (640**2 + 640) + 1280**2 + 1280
    losses = VGG + LPIPS_LINEAR + DINO
    teacher = UNET + AUTOENCODER + UNET_ADAPTERS + DECODER_ADAPTERS + estimator + predictor
    trained = {name: estimate.num_trained for name, estimate in published.items()}
    assert trained == {
        "uncertainty": estimator,
        "teacher": UNET_ADAPTERS + DECODER_ADAPTERS + predictor + heads,
        "student": TAESD_STUDENT + adapters + heads,
    }
    whole = {name: estimate.num_parameters for name, estimate in published.items()}
    assert whole == {
        "uncertainty": AUTOENCODER + estimator,
        "teacher": teacher + losses + heads,
        "student": TAESD_STUDENT + adapters + losses + heads + teacher,
    }


def test_the_published_student_costs_what_was_measured(published: dict[str, PhaseEstimate]) -> None:
    assert round(published["student"].macs / 1e9, 1) == 226.7
    assert published["teacher"].macs > 1781.2e9  # the autoencoder alone


def test_memory_at_full_size_is_of_the_order_that_training_takes(published: dict[str, PhaseEstimate]) -> None:
    gibibytes = {name: estimate.total_bytes / 2**30 for name, estimate in published.items()}
    assert 1 < gibibytes["uncertainty"] < 6
    assert 15 < gibibytes["teacher"] < 40
    assert 8 < gibibytes["student"] < 20
    # The autoencoder runs without gradients there: much is alive for a moment, little is kept.
    uncertainty = published["uncertainty"].activations
    assert uncertainty.peak > 10 * uncertainty.saved
