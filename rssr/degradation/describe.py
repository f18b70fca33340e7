"""Draws in words, for galleries and reports."""

from rssr.degradation.draws import DegradationDraws, KernelDraw, NoiseDraw, ResizeMode, RoundDraws, Size


def describe_draws(draws: DegradationDraws) -> str:
    """One line that names every step applied to one image, in order.

    Example: `x4: blur iso 13 px sigma 1.20 > x0.62 bilinear > gaussian 7.1/255 gray > JPEG 81 > to 102x102 area > ...`
    """
    if draws.first is None or draws.second is None or draws.tail is None:
        return f"x{draws.scale:g}: bicubic, antialiased"
    first, second = draws.first, draws.second
    steps = [*_kernel(first.blur), *_factor(first), _noise(first.noise), *_jpeg(first)]
    steps += [*_kernel(second.blur), _size(draws.second_size, second.resize_mode), _noise(second.noise)]
    last_resize = [_size(draws.lr_size, draws.tail.resize_mode), *_kernel(draws.tail.sinc)]
    steps += [*_jpeg(second), *last_resize] if draws.tail.jpeg_first else [*last_resize, *_jpeg(second)]
    return f"x{draws.scale:g}: " + " > ".join(steps)


def _factor(draws: RoundDraws) -> list[str]:
    return [] if draws.resize_kind == "keep" else [f"x{draws.resize_factor:.2f} {draws.resize_mode}"]


def _size(size: Size, mode: ResizeMode) -> str:
    return f"to {size[1]}x{size[0]} {mode}"


def _kernel(draw: KernelDraw | None) -> list[str]:
    if draw is None:
        return []
    if draw.kind == "sinc":
        return [f"sinc {draw.size} px cutoff {draw.cutoff:.2f}"]
    text = f"blur {draw.kind.replace('_', ' ')} {draw.size} px sigma {draw.sigma_x:.2f}"
    if draw.kind.endswith("aniso"):
        text += f"/{draw.sigma_y:.2f} at {draw.theta:.2f} rad"
    if draw.kind not in ("iso", "aniso"):
        text += f" beta {draw.beta:.2f}"
    return [text]


def _noise(draw: NoiseDraw) -> str:
    strength = f"{draw.strength:.1f}/255" if draw.kind == "gaussian" else f"{draw.strength:.2f}"
    return f"{draw.kind} {strength} {'gray' if draw.gray else 'colour'}"


def _jpeg(draws: RoundDraws) -> list[str]:
    return [] if draws.jpeg_quality is None else [f"JPEG {draws.jpeg_quality:.0f}"]
