"""What the tests of requests share."""

import pytest
from serving import home_with_statistics

from memorised import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A model with its statistics."""
    return home_with_statistics(tmp_path_factory.mktemp("home"))
