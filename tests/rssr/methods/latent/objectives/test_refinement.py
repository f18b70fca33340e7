from pathlib import Path
from typing import Any

import pytest
import torch

import rssr
from rssr.errors import ConfigError
from rssr.methods.latent.objectives.refinement import RefinementObjective, RefinementPhase
from rssr.methods.ldcsr.method import LDCSRMethod
from rssr.methods.phase import PhaseInputs
from tests.rssr.methods.tiny_latent import changed, striped_batch, tiny_sections, train

CPU = torch.device("cpu")


def method_with(**refinement: Any) -> LDCSRMethod:
    return LDCSRMethod.from_values(changed(tiny_sections("denoiser"), refinement=refinement))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found: dict[str, Path] = {}
    torch.manual_seed(0)
    for name in ("autoencoder", "denoiser"):
        phase = method_with().build_phase(name, PhaseInputs(found, CPU))
        train(phase, striped_batch(), 5)
        found[name] = tmp_path_factory.mktemp(name)
        phase.export(found[name])
    return found


def built(folders: dict[str, Path], **refinement: Any) -> RefinementPhase:
    phase = method_with(**refinement).build_phase("refinement", PhaseInputs(folders, CPU))
    assert isinstance(phase, RefinementPhase)
    return phase


def test_the_decoder_learns_from_predicted_codes_and_nothing_else_moves(folders: dict[str, Path]) -> None:
    phase, batch = built(folders, codes=["condition"]), striped_batch()
    before = {name: value.clone() for name, value in phase.network.state_dict().items()}
    with torch.no_grad():
        measured = phase.validate(batch)
    train(phase, batch, 40)
    with torch.no_grad():
        after = phase.validate(batch)
    assert after["condition_psnr_db"] > measured["condition_psnr_db"] + 1
    assert after["condition_mse"] == measured["condition_mse"]
    moved = {
        name.split(".")[0] for name, value in phase.network.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"decoder", "post_quant_conv"}


def test_codes_take_turns(folders: dict[str, Path]) -> None:
    phase = built(folders, codes=["posterior", "condition", "sampled"])
    losses = train(phase, striped_batch(), 4)["refinement"]
    kinds = [next(name for name in terms if name.startswith("l1_")) for terms in losses]
    assert kinds == ["l1_posterior", "l1_condition", "l1_sampled", "l1_posterior"]


def test_codes_are_what_inference_decodes(folders: dict[str, Path]) -> None:
    phase, batch = built(folders), striped_batch()
    [objective] = phase.objectives().values()
    assert isinstance(objective, RefinementObjective)
    condition = objective.code("condition", batch)
    assert torch.equal(condition, phase.network.encode_condition(batch.lr, (48, 48)))
    assert not condition.requires_grad
    torch.manual_seed(1)
    one = objective.code("sampled", batch)
    torch.manual_seed(2)
    assert not torch.equal(one, objective.code("sampled", batch))


def test_the_export_replaces_the_decoder_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    phase = built(folders)
    train(phase, striped_batch(), 2)
    phase.export(tmp_path)
    first, second = (rssr.load_model(folder) for folder in (folders["denoiser"], tmp_path))
    assert first.network is not None
    assert second.network is not None
    states = first.network.state_dict(), second.network.state_dict()
    changed_parts = {name.split(".")[0] for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert changed_parts == {"decoder", "post_quant_conv"}


def test_as_published_there_is_no_such_phase() -> None:
    method = LDCSRMethod.from_values(changed(tiny_sections("denoiser"), refinement=None))
    assert not method.is_needed("refinement")
    with pytest.raises(ConfigError, match="Phase 'refinement' has no settings"):
        method.build_phase("refinement", PhaseInputs({}, CPU, reads_weights=False))
