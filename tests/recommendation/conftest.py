"""A small shop for the tests of the recommendation task."""

from pathlib import Path

import pytest

from tests import synthetic_shop
from tests.recommendation import shop_project
from tests.recommendation.shop_project import ShopProject
from tests.synthetic_shop import Tables


@pytest.fixture(scope="session")
def shop_tables() -> Tables:
    return synthetic_shop.tables(customers=120)


@pytest.fixture
def shop(tmp_path: Path, shop_tables: Tables) -> ShopProject:
    """A project of one's own, to spoil."""
    return shop_project.make(tmp_path, shop_tables)


@pytest.fixture(scope="session")
def prepared_shop(tmp_path_factory: pytest.TempPathFactory, shop_tables: Tables) -> ShopProject:
    """Collected, labelled and prepared; for tests that only read."""
    project = shop_project.make(tmp_path_factory.mktemp("shop"), shop_tables)
    project.collect()
    project.label()
    project.prepare()
    return project
