"""Any folder of images: the folder that an image lies in is its class."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.catalogue.layout import Label, Layout, ReadFile, is_image_key


@dataclass(frozen=True)
class FolderLayout:
    """Takes every image, at any depth."""

    name: str = "folder"
    title: str = "a folder of images"
    expects: str = "images at any depth"
    facts: None = None

    def label(self, key: str) -> Label | None:
        """The name of its folder as class, none at the top; no split."""
        if not is_image_key(key):
            return None
        folders = key.split("/")[:-1]
        return Label(folders[-1] if folders else None)

    def informed(self, keys: Sequence[str], read: ReadFile) -> Layout:
        """Itself."""
        return self
