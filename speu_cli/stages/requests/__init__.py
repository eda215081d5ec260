"""The stages of ``speu requests``, and of ``speu unlearn --state``."""
