"""The datasets of the papers as they are published: classes, official splits, and what the whole dataset holds."""

from pipelines.catalogue.layout import (
    EXTENSIONS,
    Facts,
    Label,
    Layout,
    SplitName,
    describe_others,
    is_image_key,
)
from pipelines.catalogue.recognition import AUTO, LAYOUTS, completeness, recognise

__all__ = [
    "AUTO",
    "EXTENSIONS",
    "LAYOUTS",
    "Facts",
    "Label",
    "Layout",
    "SplitName",
    "completeness",
    "describe_others",
    "is_image_key",
    "recognise",
]
