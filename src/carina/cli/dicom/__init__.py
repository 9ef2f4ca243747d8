"""``carina dicom``: answers as DICOM objects, and the network. One verb per file beside this one."""

import typer

from carina.cli.dicom.deidentify import deidentify_command
from carina.cli.dicom.listen import listen_command
from carina.cli.dicom.query import query_command
from carina.cli.dicom.report import report_command
from carina.cli.dicom.send import send_command
from carina.cli.help_text import example

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command(name="report", epilog=example("dicom report study.dcm --out answers"))(report_command)
app.command(name="deidentify", epilog=example("dicom deidentify studies --out clean"))(deidentify_command)
app.command(name="listen", epilog=example("dicom listen --folder work --to 127.0.0.1:4242"))(listen_command)
app.command(name="send", epilog=example("dicom send answers --to 127.0.0.1:4242"))(send_command)
app.command(name="query", epilog=example("dicom query --from 127.0.0.1:4242 --date today --out today"))(query_command)


@app.callback()
def _dicom() -> None:
    """Write, receive, find, send and de-identify DICOM objects."""
