"""The metadata with the tables of every room: importing this makes it whole."""

import carina.service.audit_log.audit_tables
import carina.service.database.study_tables
import carina.service.fitting.fitting_tables
import carina.service.notices.notice_tables
import carina.service.people.people_tables
import carina.service.watching.watching_tables  # noqa: F401  # their classes enter the metadata
from carina.service.database.base import Base

METADATA = Base.metadata
