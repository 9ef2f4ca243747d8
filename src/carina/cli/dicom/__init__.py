"""``carina dicom``: answers as DICOM objects, and the network. A verb a file beside this one."""

import typer

from carina.cli.dicom.deidentify import deidentify_command
from carina.cli.dicom.listen import listen_command
from carina.cli.dicom.query import query_command
from carina.cli.dicom.report import report_command
from carina.cli.dicom.send import send_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command(name="report")(report_command)
app.command(name="deidentify")(deidentify_command)
app.command(name="listen")(listen_command)
app.command(name="send")(send_command)
app.command(name="query")(query_command)


@app.callback()
def _dicom() -> None:
    """Write, receive, find, send and de-identify DICOM objects."""
