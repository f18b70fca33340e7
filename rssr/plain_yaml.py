"""YAML as people type it: scalars mean what they look like, and nothing is changed on the way.

YAML 1.1 reads `no` as false, `1:30` as 90, `2024-13-45` as an invalid date and `3e-4` as text. Here a plain scalar
is null, a truth value (true, false), a number in its shortest spelling, or else the text that stands there; a
configuration's numeric fields read numbers in any other spelling, such as 3e-4, from that text.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "null": (r"~|null|Null|NULL|", "~nN"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"0|-?[1-9][0-9]{0,17}", "-0123456789"),
    "float": (r"-?(?:0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own name, filled below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As PyYAML, but a key given twice is an error."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key '{key.value}' is given twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _construct_float(loader: _Loader, node: yaml.ScalarNode) -> float | str:
    text = str(loader.construct_scalar(node))
    return number if repr(number := float(text)) == text else text


for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile("^$"), [""])
_Loader.add_constructor(f"{_TAG}float", _construct_float)


def read_yaml(text: str) -> Any:  # noqa: ANN401  # whatever YAML holds
    """The value of a YAML document.

    Raises:
        ValueError: It cannot be read; says where and why in one line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # derived from the safe loader
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(where + " ".join(str(error.problem).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, KeyError, AttributeError) as error:  # e.g. `!!bool perhaps` is a KeyError of PyYAML
        raise ValueError(" ".join(str(error).split())) from None


def write_yaml(value: Any) -> str:  # noqa: ANN401  # whatever YAML can hold
    """A YAML document of mappings, lists and plain values, keys in their order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
