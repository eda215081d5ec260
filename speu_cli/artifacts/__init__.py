"""Files that survive: their format, atomic writing, and who they belong to."""
