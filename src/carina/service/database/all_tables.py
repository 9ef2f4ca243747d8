"""The metadata with the tables of every room: importing this makes it whole."""

import carina.service.database.tables  # noqa: F401  # its classes enter the metadata
from carina.service.database.base import Base

METADATA = Base.metadata
