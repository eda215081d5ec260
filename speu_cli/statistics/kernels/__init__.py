"""Compiled inner loops; whoever calls them has a plain version too."""
