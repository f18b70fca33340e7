import json
import math
import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from rssr.configuration import Config, config_digest, describe, flatten, load_config, to_yaml
from rssr.errors import ConfigError

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1)


class Noise(Config):
    """A class that a bare string stands for, as degradations are."""

    kind: Literal["weak", "strong"]
    """Which preset."""
    sigma: float
    """Strength, grey levels."""
    gray: float
    """Share of gray noise."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        values = {"kind": values} if isinstance(values, str) else values
        if not isinstance(values, dict):
            return values
        published = {"weak": {"sigma": 1.0, "gray": 0.4}, "strong": {"sigma": 9.0, "gray": 0.1}}
        return {**published.get(str(values.get("kind")), {}), **values}


class Training(Config):
    """Optimisation."""

    learning_rate: float = Field(gt=0)
    """Step size."""
    num_steps: int = 10
    """Steps."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Moments."""


class Data(Config):
    """Images."""

    uri: str | tuple[str, ...] = "sample"
    """Folder, or several."""
    scale: float | tuple[float, float] = 4.0
    """HR/LR ratio, or a range."""
    noise: Noise | None = None
    """How images are spoilt."""


class Part(Config):
    """One of several."""

    name: str
    """What it is called."""
    uri: str = ""
    """Where it lies."""


class Job(Config):
    """A job."""

    data: Data = Data()
    """Images and
    their use."""
    student: Training | None = None
    """Training of the student."""
    phases: tuple[str, ...] | None = None
    """What to run."""
    fresh: bool = False
    """Whether to start over."""
    seed: int = Field(default=0, ge=0)
    """Seed."""
    name: str
    """What it is called."""
    parts: tuple[str | Part, ...] = Field(default=("whole",), min_length=1)
    """What it consists of."""


def load(*overrides: str, preset: str | None = None, folder: Path | None = None) -> Job:
    path = None
    if preset is not None:
        assert folder is not None
        path = folder / "preset.yaml"
        path.write_text(preset, encoding="utf-8")
    return load_config(Job, path, ["name=test", *overrides])


def refusal(*overrides: str, preset: str | None = None, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*overrides, preset=preset, folder=folder)
    assert "\n" not in str(caught.value), "one paragraph"
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("3E-4", 3e-4), ("1e5", 1e5), ("3.0e-4", 3e-4), ("+.5", 0.5), ("7", 7.0), ("1e-06", 1e-6)],
)
def test_floats_in_any_spelling_reach_float_fields(text: str, value: float, tmp_path: Path) -> None:
    preset = f"student: {{learning_rate: {text}, betas: [{text}, 0.5]}}\ndata: {{scale: {text}}}"
    read = load(preset=preset, folder=tmp_path)
    typed = load(f"student.learning_rate={text}", f"student.betas=[{text}, 0.5]", f"data.scale={text}")
    assert read == typed
    assert read.student is not None
    for number in (read.student.learning_rate, read.student.betas[0], read.data.scale):
        assert isinstance(number, float)
        assert number == value


@pytest.mark.parametrize(
    "text", ["2024", "007", "1.10", "1_000", "12e45", "1:30", "2024-01-01", "2024-13-45", "yes", "no", "off", "0x1f"]
)
def test_text_fields_take_what_was_typed_though_it_looks_like_a_number(text: str, tmp_path: Path) -> None:
    assert load(f"data.uri={text}").data.uri == text
    assert load(f"data.uri=[{text}, b]").data.uri == (text, "b")
    assert load(preset=f"data: {{uri: {text}}}", folder=tmp_path).data.uri == text


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_override_is_taken_or_refused_with_a_reason(text: str) -> None:
    for name in ("data.uri", "student.learning_rate", "seed", "phases", "data.noise", "data"):
        try:
            load(f"{name}={text}")
        except ConfigError as error:
            assert error.problem


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_any_preset_is_taken_or_refused_with_a_reason(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            load(preset=text.encode("utf-8", "replace").decode(), folder=Path(folder))
        except ConfigError as error:
            assert error.problem


def test_a_preset_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ConfigError, match=r"photo\.jpg"):
        load_config(Job, path, [])


def test_a_missing_preset_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(Job, path, [])


def test_broken_yaml_names_file_and_line_in_one_paragraph(tmp_path: Path) -> None:
    message = refusal(preset="seed: 1\ndata: [", folder=tmp_path)
    assert "preset.yaml" in message
    assert "line 2" in message


def test_a_key_given_twice_in_a_preset_is_refused(tmp_path: Path) -> None:
    message = refusal(preset="seed: 1\nseed: 2", folder=tmp_path)
    assert "seed" in message
    assert "line 2" in message


def test_an_empty_preset_holds_the_defaults(tmp_path: Path) -> None:
    assert load(preset="", folder=tmp_path) == load(preset="# nothing", folder=tmp_path) == load()


def test_a_preset_that_is_a_list_is_refused(tmp_path: Path) -> None:
    assert "mapping" in refusal(preset="- a", folder=tmp_path)


def test_unknown_keys_name_the_nearest() -> None:
    message = refusal("student.learning_rte=1", "dat.uri=x", "data.nois=weak", "sead=1")
    assert "'student.learning_rte' is not a key (did you mean 'student.learning_rate'?)" in message
    assert "'dat' is not a key (did you mean 'data'?)" in message
    assert "'data.nois' is not a key (did you mean 'data.noise'?)" in message
    assert "'sead' is not a key (did you mean 'seed'?)" in message


def test_missing_keys_are_named_with_their_path() -> None:
    assert "'student.learning_rate' is required" in refusal("student.num_steps=3")


def test_every_fault_is_named_at_once() -> None:
    message = refusal("seed=-1", "fresh=perhaps", "student.learning_rate=fast")
    assert all(f"'{name}'" in message for name in ("seed", "fresh", "student.learning_rate"))
    assert "'perhaps'" in message


def test_an_ill_typed_union_is_named_by_its_key_alone() -> None:
    message = refusal("data.scale=wide", "data.uri=true")
    assert message.count("'data.scale'") == 1
    assert message.count("'data.uri'") == 1
    assert "tuple[" not in message


def test_a_single_value_for_a_list_is_told_how_to_write_it() -> None:
    assert "phases=[student]" in refusal("phases=student")


@pytest.mark.parametrize("override", ["seed", "=1", ".seed=1", "data.=1", "data..uri=1", ""])
def test_overrides_without_key_or_value_are_refused(override: str) -> None:
    assert "key.sub=value" in refusal(override)


def test_an_override_reaches_into_a_nested_mapping_of_the_preset_and_leaves_the_rest(tmp_path: Path) -> None:
    job = load("student.num_steps=5", preset="student: {learning_rate: 0.1, num_steps: 3}", folder=tmp_path)
    assert job.student == Training(learning_rate=0.1, num_steps=5)


def test_the_last_of_several_overrides_counts() -> None:
    assert load("seed=1", "seed=2").seed == 2


def test_an_override_with_a_mapping_replaces_the_whole_mapping(tmp_path: Path) -> None:
    preset = "student: {learning_rate: 0.1, num_steps: 3}"
    assert load("student={learning_rate: 1}", preset=preset, folder=tmp_path).student == Training(learning_rate=1)


def test_an_override_reaches_below_null(tmp_path: Path) -> None:
    assert load("student.learning_rate=1", preset="student:", folder=tmp_path).student == Training(learning_rate=1)


@pytest.mark.parametrize(("preset", "held"), [("seed: 3", "3"), ("seed: [1]", "1")])
def test_an_override_below_a_single_value_is_refused_with_the_full_key(preset: str, held: str, tmp_path: Path) -> None:
    message = refusal("seed.x.y=1", preset=preset, folder=tmp_path)
    assert "'seed.x.y'" in message
    assert held in message


def test_an_override_reaches_below_a_bare_name_that_stands_for_a_mapping(tmp_path: Path) -> None:
    spoilt = load("data.noise.gray=0.2", preset="data: {noise: strong}", folder=tmp_path).data.noise
    assert spoilt == Noise(kind="strong", sigma=9.0, gray=0.2)
    changed = load("data.noise.kind=weak", preset="data: {noise: strong}", folder=tmp_path).data.noise
    assert changed == Noise(kind="weak", sigma=1.0, gray=0.4)


def test_an_override_below_a_bare_name_that_stands_for_nothing_is_refused(tmp_path: Path) -> None:
    assert "'storm'" in refusal("data.noise.gray=0.2", preset="data: {noise: storm}", folder=tmp_path)


def test_an_override_reaches_an_item_of_a_list_by_its_number_or_its_name(tmp_path: Path) -> None:
    preset = "parts: [{name: one, uri: a}, {name: 2024, uri: b}, plain]"
    overrides = ("parts.0.uri=c", "parts.2024.uri=d", "parts.2=other", "parts.one.name=first")
    job = load(*overrides, preset=preset, folder=tmp_path)
    assert job.parts == (Part(name="first", uri="c"), Part(name="2024", uri="d"), "other")


@pytest.mark.parametrize("name", ["parts.1.uri", "parts.three.uri", "parts.-1", "parts.1"])
def test_an_item_that_a_list_does_not_have_is_refused_with_those_it_has(name: str, tmp_path: Path) -> None:
    message = refusal(f"{name}=x", preset="parts: [{name: one}]", folder=tmp_path)
    assert f"'{name}'" in message
    assert "0 (one)" in message


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ("[{name: one, urii: x}]", "'parts.0.urii' is not a key (did you mean 'parts.N.uri'?)."),
        ("[one, {uri: x}]", "'parts.1.name' is required."),
        ("[]", "'parts' is refused: tuple should have at least 1 item"),
    ],
)
def test_a_fault_in_an_item_of_a_list_is_told_once_and_with_its_place(parts: str, told: str) -> None:
    message = refusal(f"parts={parts}")
    assert told in message
    assert message.count("'parts") == 1 + message.count("mean 'parts")


def test_credentials_in_values_are_not_repeated_in_errors() -> None:
    secret = "s3://user:hunter2@host/bucket"
    for overrides in ([f"seed={secret}"], [secret], [f"data.uri.x={secret}"], [f"data.scale={secret}"]):
        assert "hunter2" not in refusal("data.uri=x", *overrides)


def test_configurations_are_frozen_and_refuse_infinity() -> None:
    job = load()
    with pytest.raises(ValidationError):
        setattr(job, "seed", 2)  # noqa: B010  # written out, the type checker refuses it already
    with pytest.raises(ValidationError):
        Training(learning_rate=math.inf)


def test_the_yaml_of_a_configuration_loads_as_a_preset(tmp_path: Path) -> None:
    job = load("student.learning_rate=1e-7", "data.uri=[3e-4, yes]", "data.noise=weak", "phases=[007]", "seed=3")
    path = tmp_path / "resolved.yaml"
    path.write_text(to_yaml(job), encoding="utf-8")
    assert load_config(Job, path) == job


@settings(max_examples=50, deadline=None)
@given(PRINTABLE, st.floats(min_value=1e-300, max_value=1e300), st.integers(0, 2**63))
def test_any_values_survive_yaml(text: str, number: float, seed: int) -> None:
    job = Job(name=text, seed=seed, student=Training(learning_rate=number), data=Data(uri=(text, text)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resolved.yaml"
        path.write_text(to_yaml(job), encoding="utf-8")
        assert load_config(Job, path) == job


def test_the_digest_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    one = load(preset="seed: 3\ndata: {uri: a, scale: 2}", folder=tmp_path)
    other = load(preset="data: {scale: 2.0, uri: a}\nseed: 3", folder=tmp_path)
    assert config_digest(one) == config_digest(other)
    assert config_digest({"a": 1, "b": [2]} | {"c": None}) == config_digest({"c": None, "b": [2], "a": 1})


def test_the_digest_differs_for_every_changed_value() -> None:
    jobs = [
        load(),
        load("seed=1"),
        load("data.uri=a"),
        load("data.uri=[a]"),
        load("student.learning_rate=0.1"),
        load("student.learning_rate=0.1000000001"),
    ]
    parts = [(job,) for job in jobs] + [(jobs[0], jobs[1]), (jobs[1], jobs[0]), (jobs[0], None)]
    assert len({config_digest(*part) for part in parts}) == len(parts)


def test_flatten_gives_dotted_names() -> None:
    nested = {"a": {"b": 1, "c": {"d": [1]}}, "e": {}, "f": None}
    assert flatten(nested) == {"a.b": 1, "a.c.d": [1], "e": {}, "f": None}


def test_the_description_lists_every_key_with_type_default_and_meaning() -> None:
    text = describe(Job)
    for name in flatten(load("student.learning_rate=1", "data.noise=weak").model_dump()):
        assert f"  {name} (" in text
    assert "student.learning_rate (float, required)\n      Step size." in text
    assert "data.uri (str or list of str, default sample)" in text
    assert "student.betas (list of 2 float, default [0.9, 0.999])" in text
    assert "data.noise.kind (weak or strong, required)" in text
    assert "fresh (bool, default false)" in text
    assert 'parts (list of str or group, default ["whole"])' in text
    assert 'parts.N.uri (str, default "")\n      Where it lies.' in text


def test_the_description_explains_the_groups_of_keys() -> None:
    text = describe(Job)
    assert "  data (group)\n      Images and their use." in text
    assert "  student (group or null, default null)\n      Training of the student." in text
    assert "  data.noise (group or null, default null)\n      How images are spoilt." in text


def test_the_resolved_yaml_is_plain() -> None:
    values = yaml.safe_load(to_yaml(load("phases=[a]")))
    assert json.loads(json.dumps(values)) == values
    assert values["phases"] == ["a"]
