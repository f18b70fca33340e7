"""Archives made on the spot."""

import io
import tarfile
import zipfile

import numpy as np

ENDINGS = ("zip", "tar", "tar.gz", "tgz")
FILES = {
    "AID/Airport/airport_1.jpg": bytes(range(256)) * 40,
    "AID/Airport/empty.jpg": b"",
    "AID/Ödland é 北京/bild 1 #%.jpg": b"accents and spaces",
    "AID/readme.txt": b"text " * 1_000,
    "AID/" + "deep/" * 40 + "long name.jpg": b"beyond what a plain tar header holds",
    "top.jpg": np.random.default_rng(0).bytes(300_000),
}


def packed(ending: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    if ending == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for number, (name, data) in enumerate(files.items()):
                archive.writestr(name, data, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w" if ending == "tar" else "w:gz") as tar:
        for name, data in files.items():
            add(tar, name, data)
    return out.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **values: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in values.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


def tar_with(name: str, data: bytes = b"", **values: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        add(archive, "first.jpg", b"harmless")
        add(archive, name, data, **values)
    return out.getvalue()
