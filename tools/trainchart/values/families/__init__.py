"""The typed model of every family's `train` section: one module a family, named like its folder in the chart."""

from trainchart.values.base import Section
from trainchart.values.families.yolov5 import Yolov5

FAMILIES: dict[str, type[Section]] = {
    "yolov5": Yolov5,
}
