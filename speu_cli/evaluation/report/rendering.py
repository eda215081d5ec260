"""Pages from templates: whatever comes from outside is escaped."""

from functools import cache
from typing import TYPE_CHECKING

from speu_cli.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, **values: object) -> str:
    """Fill in a template.

    Args:
        template: Its name.
        **values: What it shows.

    Returns:
        HTML.
    """
    return _environment().get_template(template).render(values, version=__version__)


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Whatever the name of the template, all is escaped but the figures, which are made here.
    return Environment(
        loader=PackageLoader("speu_cli.evaluation.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
