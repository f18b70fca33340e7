"""Figures of a SlimDiffSR run: of each of its networks, as far as they are trained."""

from collections.abc import Callable, Sequence

from rssr.methods.figures import Figure, HeldOutImage
from rssr.methods.phase import PhaseInputs
from rssr.methods.slimdiffsr.attention_pictures import draw_attention
from rssr.methods.slimdiffsr.config import SlimDiffSRConfig
from rssr.methods.slimdiffsr.networks import SlimDiffSR
from rssr.methods.slimdiffsr.objectives.teacher import load_teacher
from rssr.methods.slimdiffsr.teacher_pictures import draw_features, draw_uncertainty
from rssr.models.loaded import load_model
from rssr.weights.base import BaseSource


def draw_figures(
    config: SlimDiffSRConfig,
    locate: Callable[[PhaseInputs], BaseSource],
    inputs: PhaseInputs,
    images: Sequence[HeldOutImage],
) -> list[Figure]:
    """See `Illustrated`.

    Args:
        config: What the phases were trained with.
        locate: Where the base weights lie.
        inputs: Finished phases; the teacher's figures need `teacher` and what it builds on, the student's `student`.
        images: What to show the networks on, at least one.
    """
    images = [HeldOutImage(image.key, image.pair.to(inputs.device)) for image in images]
    figures: list[Figure] = []
    if "teacher" in inputs.folders:
        teacher = load_teacher(config, locate(inputs), inputs)
        figures += [draw_uncertainty(teacher, images), draw_features(teacher, images[0])]
    if "student" in inputs.folders:
        student = load_model(inputs.folder("student"), inputs.device).network
        assert isinstance(student, SlimDiffSR)  # the phase exports no other model
        attention = draw_attention(student, images)
        figures += [attention] if attention is not None else []
    return figures
