"""The options that all `soundalike catalog` commands share, and the catalog that they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from index.catalog import Catalog

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder that holds the catalog.  [env: SOUNDALIKE_DATA; default: in the user's data directory]",
        show_default=False,
    ),
]
CatalogUrl = Annotated[
    str | None,
    typer.Option(
        "--catalog-url",
        metavar="URL",
        help="Database of the catalog, as postgresql://USER@HOST/NAME.  [env: SOUNDALIKE_CATALOG_URL;"
        " default: SQLite in the data folder]",
        show_default=False,
    ),
]


def open_catalog(data: Path | None, catalog_url: str | None, *, create: bool = False) -> Catalog:
    """The catalog that options, environment and defaults name. Raises SettingsError, CatalogError."""
    from index.catalog import Catalog  # noqa: PLC0415 -- `--help` stays quick
    from soundalike.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data=data, catalog_url=catalog_url)
    url = None if settings.catalog_url is None else settings.catalog_url.get_secret_value()
    return Catalog.open(settings.data, url=url, create=create)
