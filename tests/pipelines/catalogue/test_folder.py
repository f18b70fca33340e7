from pipelines.catalogue import Label
from pipelines.catalogue.folder import FolderLayout


def test_the_folder_is_the_class_as_it_is_spelled() -> None:
    assert FolderLayout().label("a/Deep Forest/x.TIF") == Label("Deep Forest", None)
    assert FolderLayout().label("x.jp2") == Label(None, None)


def test_no_image_has_no_label() -> None:
    for key in (
        "a/x.txt",
        "a/.x.png",
        ".hidden/x.png",
        "__MACOSX/x.png",
        "a/@eaDir/x.png",
        "$RECYCLE.BIN/x.png",
        "png",
    ):
        assert FolderLayout().label(key) is None, key
