"""AID, Xia et al. 2017 (IEEE TGRS 55(7), table II): 10,000 images of 600x600 pixels in 30 classes, without splits."""

from pipelines.catalogue.class_folders import ClassFolders
from pipelines.catalogue.layout import Facts

_CLASS_COUNTS = {
    "Airport": 360,
    "BareLand": 310,
    "BaseballField": 220,
    "Beach": 400,
    "Bridge": 360,
    "Center": 260,
    "Church": 240,
    "Commercial": 350,
    "DenseResidential": 410,
    "Desert": 300,
    "Farmland": 370,
    "Forest": 250,
    "Industrial": 390,
    "Meadow": 280,
    "MediumResidential": 290,
    "Mountain": 340,
    "Park": 350,
    "Parking": 390,
    "Playground": 370,
    "Pond": 420,
    "Port": 380,
    "RailwayStation": 260,
    "Resort": 290,
    "River": 410,
    "School": 300,
    "SparseResidential": 300,
    "Square": 330,
    "Stadium": 290,
    "StorageTanks": 360,
    "Viaduct": 420,
}

AID = ClassFolders(
    name="aid",
    title="AID",
    expects="<Class>/<class>_<n>.jpg, e.g. AID/BareLand/bareland_12.jpg, for 30 classes",
    facts=Facts(10_000, _CLASS_COUNTS),
)
