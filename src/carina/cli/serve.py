"""``carina serve``: the worklist in a browser, its accounts, its audit log and its backups."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from carina.cli.console import print_note, print_result
from carina.cli.help_text import example
from carina.cli.options import argument, option, switch
from carina.errors import ConfigurationError, DataError
from carina.extras import require_libraries
from carina.wording import counted

_STYLE: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": "rich"}
app = typer.Typer(invoke_without_command=True, **_STYLE)
account = typer.Typer(no_args_is_help=True, **_STYLE)
app.add_typer(account, name="account")
audit = typer.Typer(no_args_is_help=True, **_STYLE)
app.add_typer(audit, name="audit")

_LIBRARIES = (
    *("alembic", "argon2", "authlib", "fastapi", "prometheus_client", "pynetdicom", "requests", "sqlalchemy"),
    "uvicorn",
)
FolderOption = Annotated[Path, option("FOLDER", "Folder of the site. It must be on a local disk.")]
DatabaseOption = Annotated[
    str | None,
    option(
        "URL",
        "PostgreSQL database, as postgresql://USER@HOST/NAME. It goes before site.toml. Default: a file of SQLite in "
        "the folder.",
        envvar="CARINA_DATABASE",
    ),
]
_SITE = Path("site")


def require_service() -> None:
    """Refuse where what a site needs is not installed.

    Raises
    ------
    ConfigurationError
        If something is missing; the message says what to type.
    """
    require_libraries("carina serve", *_LIBRARIES, extra="serve")


@app.callback(epilog=example("serve --folder site"))
def serve_command(
    context: typer.Context,
    folder: FolderOption = _SITE,
    role: Annotated[
        str,
        option(
            "ROLE",
            "Parts to run here: all, web (the pages), worker (judges), or listener (DICOM and the watched folder).",
        ),
    ] = "all",
    database: DatabaseOption = None,
    as_json: Annotated[bool, switch("Print events as JSON, one object per line.", "--json")] = False,
) -> None:
    """Serve the worklist in a browser.

    Images come in, are judged, and radiologists read them in a browser. It runs until Ctrl-C. A new site is silent: it
    changes nobody's order, and sends nothing.
    """
    require_service()
    # Database, pictures and copies hold names of patients: what a site writes is its owner's alone.
    context.call_on_close(partial(os.umask, os.umask(0o077)))
    if context.invoked_subcommand is not None:
        return
    from carina.service.serve import ROLES, serve  # noqa: PLC0415  # the service's libraries

    serve(folder, _known(role, ROLES), database=database, as_json=as_json, tell=print_note)


def _known(role: str, roles: tuple[Any, ...]) -> Any:
    if role not in roles:
        msg = f"--role {role} is unknown. Choose one of {', '.join(roles)}."
        raise ConfigurationError(msg)
    return role


@account.callback()
def _account() -> None:
    """Add an account to a site."""


@account.command(name="add", epilog=example("serve account add anna --role reader --folder site"))
def add_account_command(
    name: Annotated[str, argument("NAME", "Name to log in with.")],
    role: Annotated[str, option("ROLE", "What the account may do: reader, administrator, or auditor.")] = "reader",
    folder: FolderOption = _SITE,
    database: DatabaseOption = None,
) -> None:
    """Add an account.

    The password is asked for, and not shown.
    """
    require_service()
    from carina.service.people.accounts import add_account  # noqa: PLC0415  # the service's libraries
    from carina.service.people.people_tables import Role  # noqa: PLC0415
    from carina.service.site_folder import open_site  # noqa: PLC0415

    found = _known(role, get_args(Role))
    site = open_site(folder, database=database)
    try:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        add_account(site.engine, name, password, found)
    finally:
        site.close()
    print_result(f"Account {name} is there, with the role {found}.")


@audit.callback()
def _audit() -> None:
    """Check the audit log of a site."""


@audit.command(name="verify", epilog=example("serve audit verify --folder site"))
def verify_audit_command(folder: FolderOption = _SITE, database: DatabaseOption = None) -> None:
    """Check that no line of the audit log was changed or removed.

    Keep the printed hash in another place. Lines that are cut off at the end show only against an earlier hash.
    """
    require_service()
    from carina.service.audit_log.chain import verify  # noqa: PLC0415  # the service's libraries
    from carina.service.database.sessions import reading  # noqa: PLC0415
    from carina.service.site_folder import open_site  # noqa: PLC0415

    site = open_site(folder, database=database)
    try:
        with reading(site.engine) as session:
            checked = verify(session)
    finally:
        site.close()
    if not checked.whole:
        msg = f"The audit log is not whole: line {checked.broken_at}: {checked.why}. Lines before it are as written."
        raise DataError(msg)
    print_result(f"{counted(checked.lines, 'line')}, none changed or missing. Hash of the last one: {checked.head}")


@app.command(name="backup", epilog=example("serve backup saved --folder site"))
def backup_command(
    out: Annotated[Path, argument("OUT", "Folder to write; it must not exist.")],
    folder: FolderOption = _SITE,
    database: DatabaseOption = None,
) -> None:
    """Write a copy of a site: database, images and settings.

    The site may go on meanwhile.
    """
    require_service()
    from carina.service.backup import backup  # noqa: PLC0415  # the service's libraries
    from carina.service.site_folder import open_site  # noqa: PLC0415

    site = open_site(folder, database=database)
    try:
        saved = backup(site, out)
    finally:
        site.close()
    print_result(f"{out}: {saved.rows} rows and {saved.images} images.")
    if saved.missing:
        print_note(f"{saved.missing} images have rows and no file in the site's folder. Their rows are in the copy.")


@app.command(name="restore", epilog=example("serve restore saved --folder site"))
def restore_command(
    saved: Annotated[Path, argument("SAVED", "Folder that carina serve backup wrote.")],
    folder: Annotated[Path, option("FOLDER", "Folder of the new site; it must not exist.")],
    database: DatabaseOption = None,
) -> None:
    """Make a site from a copy, on SQLite or PostgreSQL.

    The database must be empty.
    """
    require_service()
    from carina.service.backup import restore  # noqa: PLC0415  # the service's libraries

    done = restore(saved, folder, database=database)
    print_result(f"{folder}: {done.rows} rows and {done.images} images. Next: carina serve --folder {folder}")
    if done.named_database:
        where = "the database in its folder" if database is None else "what --database names, if you name it again"
        print_note(f"The copied site.toml named the old site's database. It was taken out: this site uses {where}.")
