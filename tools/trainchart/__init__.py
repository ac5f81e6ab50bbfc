"""Tools around the chart: typed values and their schema, rendering, and the `trainchart` command."""

__version__ = "0.1.0"
