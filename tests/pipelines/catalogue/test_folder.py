from pipelines.catalogue import Label, describe_others
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


def test_files_that_are_no_images_by_their_names_are_counted_by_ending() -> None:
    assert describe_others(["a.jpg", "b.XML", "c/d.xml", "scene", "x.gif"]) == "2 .xml, 1 without ending, 1 .gif"
    assert describe_others(["a.jpg"]) == ""
