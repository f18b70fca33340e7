"""Asking a running service from Python: images, models and whole archives, with nothing but the standard library."""

from rssr.client.archives import Archive, Archives, Counts
from rssr.client.client import Client, Model
from rssr.client.errors import ServiceError
from rssr.client.items import Item, ProductFile
from rssr.client.results import SuperResolved, Uncertainty

__all__ = [
    "Archive",
    "Archives",
    "Client",
    "Counts",
    "Item",
    "Model",
    "ProductFile",
    "ServiceError",
    "SuperResolved",
    "Uncertainty",
]
