"""Any folder of images: the folder that an image lies in is its class."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.catalogue.layout import Label, Layout


@dataclass(frozen=True)
class FolderLayout(Layout):
    """Takes every image, at any depth."""

    name: str = "folder"
    title: str = "a folder of images"
    expects: str = "images at any depth"
    facts: None = None

    def _label_image(self, folders: Sequence[str], stem: str) -> Label | None:
        """The name of its folder as class, none at the top; no split."""
        return Label(folders[-1] if folders else None)
