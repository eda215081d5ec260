"""Sphinx: the Markdown files of the repository as a site that fetches nothing from any host.

``docs/index.md`` is the navigation: its headings are the parts, the links below them their pages.
"""

import re

from sphinx.application import Sphinx

from speu_cli.version import __version__

project = "speu"
release = __version__
author = "the authors of speu"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "experiments/*.md"]
exclude_patterns = ["[!de]*/**", ".*/**"]  # so that a walk for pages leaves environments alone
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"speu {release}"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_use_index = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses of files on the disk
templates_path = ["templates"]
html_additional_pages = {"index": "to_the_index.html"}

NAVIGATION = "\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"


def add_navigation(_: Sphinx, page: str, source: list[str]) -> None:
    """Make the lists of links on the first page the navigation of the site.

    Args:
        page: Name of the page that was read.
        source: Its text, which is changed in place.
    """
    if page != root_doc:
        return
    for caption, text in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", source[0], re.MULTILINE):
        links = re.findall(r"^- \[(.+?)\]\(([^)#]+)\.md\)", text, re.MULTILINE)
        if links:
            pages = "\n".join(f"{title} <{path}>" for title, path in links)
            source[0] += NAVIGATION.format(caption=caption, pages=pages)


def setup(application: Sphinx) -> None:
    """Let Sphinx know."""
    application.connect("source-read", add_navigation)
