"""The published methods, one folder a paper, and what two of them share. Methods never import one another."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from rssr.methods.method import Method

# Method name -> where its class and its configuration are. One line adds a method.
_METHODS = {
    "slimdiffsr": "rssr.methods.slimdiffsr.method:SlimDiffSRMethod",
    "ldcsr": "rssr.methods.ldcsr.method:LDCSRMethod",
    "lcmsr": "rssr.methods.lcmsr.method:LCMSRMethod",
}


def build_method(name: str, values: Mapping[str, Any]) -> Method:
    """A method from the plain values of its `dump`."""
    module, _, attribute = _METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute).from_values(values)
    return method
