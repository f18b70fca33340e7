"""NWPU-RESISC45, Cheng et al. 2017 (Proc. IEEE 105(10)): 31,500 images of 256x256 pixels, 45 x 700, without splits."""

from pipelines.catalogue.class_folders import ClassFolders
from pipelines.catalogue.layout import Facts

_IMAGES_A_CLASS = 700
_CLASSES = (
    *("airplane", "airport", "baseball_diamond", "basketball_court", "beach", "bridge", "chaparral", "church"),
    *("circular_farmland", "cloud", "commercial_area", "dense_residential", "desert", "forest", "freeway"),
    *("golf_course", "ground_track_field", "harbor", "industrial_area", "intersection", "island", "lake", "meadow"),
    *("medium_residential", "mobile_home_park", "mountain", "overpass", "palace", "parking_lot", "railway"),
    *("railway_station", "rectangular_farmland", "river", "roundabout", "runway", "sea_ice", "ship", "snowberg"),
    *("sparse_residential", "stadium", "storage_tank", "tennis_court", "terrace", "thermal_power_station", "wetland"),
)

NWPU_RESISC45 = ClassFolders(
    name="nwpu-resisc45",
    title="NWPU-RESISC45",
    expects="<class>/<class>_<nnn>.jpg, e.g. sea_ice/sea_ice_012.jpg, for 45 classes",
    facts=Facts(31_500, dict.fromkeys(_CLASSES, _IMAGES_A_CLASS)),
)
