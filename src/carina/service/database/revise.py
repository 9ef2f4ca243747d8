"""Write the first migration again from the tables, while there is only one.

::

    python -m carina.service.database.revise

Once a version with these tables is released, each change gets a script of its own instead.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.types import TypeEngine

from carina.service.database.all_tables import METADATA
from carina.service.database.base import UtcTime

INITIAL = Path(__file__).parent / "migrations" / "versions" / "initial.py"
_HEAD = '''"""All tables."""

import sqlalchemy as sa
from alembic import op

from carina.service.database.base import JsonValue, UtcTime

revision = "initial"
down_revision = None


def upgrade() -> None:
    """Make them."""
    '''


def _render(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    if kind == "type" and isinstance(value, UtcTime):
        return "UtcTime()"
    if kind == "type" and isinstance(value, TypeEngine) and type(value).__name__ == "JSON":
        return "JsonValue"
    return False


def write_initial() -> str:
    """Return the script that makes all tables."""
    with create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": METADATA, "render_item": _render, "user_module_prefix": None}
        )
        operations = produce_migrations(context, METADATA).upgrade_ops
    if operations is None:
        msg = "Alembic found nothing to do."
        raise RuntimeError(msg)
    code = render_python_code(operations, render_item=_render, user_module_prefix=None)
    return _HEAD + "\n".join(line for line in code.splitlines() if not line.strip().startswith("#")).strip() + "\n"


if __name__ == "__main__":
    INITIAL.write_text(write_initial(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(INITIAL)], check=True)  # noqa: S603  # our own file
