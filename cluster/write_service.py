"""Writes the settings of cluster/serve.yaml into the RayService's manifest: python cluster/write_service.py."""

import sys
from pathlib import Path

from pipelines.serving.config import ServeConfig
from pipelines.serving.declarative import serve_schema
from rssr.configuration import load_config
from rssr.errors import RssrError
from rssr.plain_yaml import write_yaml

FOLDER = Path(__file__).resolve().parent
PRESET = FOLDER / "serve.yaml"
MANIFEST = FOLDER / "kuberay" / "service" / "rayservice.yaml"

_KEY = "  serveConfigV2: |\n"
_INDENTATION = "    "


def with_settings(manifest: str, config: str) -> str:
    """The manifest with another config file of Ray Serve in it.

    Args:
        manifest: Text with a line `serveConfigV2: |` and, below it, the old config file, indented further.
        config: The new one.
    """
    before, _, after = manifest.partition(_KEY)
    lines = after.splitlines(keepends=True)
    while lines and lines[0].startswith(_INDENTATION):
        del lines[0]
    return (
        before + _KEY + "".join(f"{_INDENTATION}{line}" for line in config.splitlines(keepends=True)) + "".join(lines)
    )


def main() -> int:
    """Rewrite the manifest; returns the exit status."""
    try:
        settings = load_config(ServeConfig, PRESET)
    except RssrError as error:
        print(f"Error: {error}", file=sys.stderr)
        return int(error.exit_code)
    text = with_settings(MANIFEST.read_text(encoding="utf-8"), write_yaml(serve_schema(settings)))
    MANIFEST.write_text(text, encoding="utf-8")
    print(f"{MANIFEST} has the settings of {PRESET}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
