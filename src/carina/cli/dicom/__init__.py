"""``carina dicom``: answers as DICOM objects, and the network. A verb a file beside this one."""

import typer

from carina.cli.dicom.report import report_command

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command(name="report")(report_command)


@app.callback()
def _dicom() -> None:
    """Give answers as DICOM, and send and receive it."""
