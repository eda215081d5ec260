"""The version of speu."""

__version__ = "0.1.0"
