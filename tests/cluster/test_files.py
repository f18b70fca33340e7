"""All files of `cluster/`: they can be read, say what they are for, and hold no secrets."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.tracking.secrecy import MASK, mask_secrets
from tests.cluster.files import CLUSTER, ROOT, documents, manifests, pods, texts

TEXTS = texts()
YAML_FILES = [name for name in TEXTS if name.endswith(".yaml") or name.endswith(".yml")]
# What a first line names: the command of whoever starts something.
COMMAND = re.compile(r"(?:docker|kubectl|ray|python) \S+")
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY|API_KEY|METRICS_KEY|auth_token", re.IGNORECASE)
REFERENCE = re.compile(r"\$\{\w+:[?-].*\}")
LOOKS_SECRET = [
    re.compile(r"\brssr_[A-Za-z0-9_-]{40,}"),  # a key of the service
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\b[0-9a-f]{32,}\b"),
    re.compile(r"PRIVATE KEY"),
    re.compile(r"://[^\s/:@$]+:[^\s@${}]+@"),  # a password in an address
]


def test_there_are_files() -> None:
    assert len(YAML_FILES) > 20
    assert {"cluster/README.md", "cluster/Containerfile", "cluster/aws.yaml"} <= TEXTS.keys()


@pytest.mark.parametrize("name", YAML_FILES)
def test_a_yaml_file_can_be_read_and_gives_no_key_twice(name: str) -> None:
    assert all(isinstance(found, dict) for found in documents(ROOT / name))
    for node in yaml.compose_all(TEXTS[name]):
        assert repeated(node) == []


def repeated(node: Any) -> list[str]:
    """Keys that a mapping has twice, of which readers take one or the other."""
    if isinstance(node, yaml.SequenceNode):
        return [key for item in node.value for key in repeated(item)]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    return [key for key in keys if keys.count(key) > 1] + [key for _, item in node.value for key in repeated(item)]


@pytest.mark.parametrize("name", [name for name in TEXTS if not name.endswith((".md", ".json"))])
def test_the_first_line_says_what_a_file_starts_and_by_which_command(name: str) -> None:
    first = TEXTS[name].splitlines()[0]
    assert first.startswith(('"""', "# "))
    about, separator, command = first.strip('"# ').partition(": ")
    assert separator and len(about) > 15
    found = COMMAND.match(command)
    assert found, f"{first} names no command"
    named = [word for word in command.rstrip(".").split() if word.startswith("cluster/")]
    assert named or "write_config" in command
    assert all((ROOT / word).exists() for word in named)


def test_folders_that_are_named_have_what_kustomize_looks_for() -> None:
    named = {word for text in TEXTS.values() for word in re.findall(r"cluster/kuberay/[a-z/]*[a-z]", text)}
    assert len(named) > 8
    assert [
        name for name in named if (ROOT / name).is_dir() and not (ROOT / name / "kustomization.yaml").is_file()
    ] == []
    assert [
        name for name in named if not (ROOT / name).exists() and not (ROOT / name).with_suffix(".yaml").exists()
    ] == []


@pytest.mark.parametrize("name", TEXTS)
def test_no_file_holds_what_looks_like_a_secret(name: str) -> None:
    found = [match[0] for pattern in LOOKS_SECRET for match in pattern.finditer(TEXTS[name])]
    assert found == []
    assert MASK not in mask_secrets(TEXTS[name]), "a secret of whoever runs the tests"


def test_variables_with_secret_names_refer_to_where_the_secret_is() -> None:
    wrong = []
    for service, settings in documents(CLUSTER / "compose" / "compose.yaml")[0]["services"].items():
        for name, value in settings.get("environment", {}).items():
            if SECRET_NAME.search(name) and not REFERENCE.fullmatch(str(value)):
                wrong.append(f"{service}: {name}={value}")
    for line in (CLUSTER / "compose" / "env.example").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        if not line.startswith("#") and SECRET_NAME.search(name) and value and name != "S3_ACCESS_KEY":
            wrong.append(f"env.example: {line}")
    for place, manifest in manifests():
        containers = [found for _, pod in pods(manifest) for found in pod["containers"]]
        wrong += [
            f"{place}: {variable['name']}"
            for found in containers
            for variable in found.get("env", ())
            if SECRET_NAME.search(variable["name"]) and "value" in variable
        ]
        if manifest["kind"] in ("Secret", "ConfigMap"):
            wrong += [f"{place}: {name}" for name in manifest["data"] if SECRET_NAME.search(name)]
    assert wrong == []


def test_a_secret_that_is_referred_to_is_told_of_in_the_readme() -> None:
    said = set(re.findall(r"create secret generic ([a-z0-9-]+)", TEXTS["cluster/README.md"]))
    named = {
        name
        for place, text in TEXTS.items()
        if place.startswith("cluster/kuberay")
        for name in re.findall(
            r"(?:secretName: |secretRef: \{name: |secretKeyRef: \{name: |credentials: \{name: )([a-z0-9-]+)", text
        )
    }
    assert named == said


def test_the_secrets_of_one_machine_stay_out_of_commits_uploads_and_images() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ".env" in (ROOT / ".rayignore").read_text(encoding="utf-8").splitlines()
    assert "*" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert not any(Path(name).name == ".env" for name in TEXTS)
