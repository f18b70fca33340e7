import pytest

from pipelines.bulk.config import ProductsConfig


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("/srv/uploads/7f.zip/a.png", "upload://7f.zip/a.png"),
        ("/srv/models/ldcsr", "ldcsr"),
        ("/srv/other", "somewhere/other"),
        ("s3://in/a.tif", "s3://in/a.tif"),
    ],
)
def test_products_call_addresses_as_they_are_told_to(address: str, told: str) -> None:
    called = {"/srv": "somewhere", "/srv/uploads/7f.zip": "upload://7f.zip", "/srv/models/ldcsr": "ldcsr"}
    assert ProductsConfig(called=called).told(address) == told
