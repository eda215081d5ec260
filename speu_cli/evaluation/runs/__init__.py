"""Several evaluated models side by side: read, compared, as tables, figures and a page."""
