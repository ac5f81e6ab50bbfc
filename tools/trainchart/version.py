"""The version of the tools and of the charts that come with them."""

__version__ = "0.1.0"
