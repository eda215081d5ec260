"""The report of an evaluation: one page for two readers, figures, and a text for a pull request."""
