"""``carina dicom``: answers as DICOM objects, and the network."""

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def _dicom() -> None:
    """Give answers as DICOM, and send and receive it."""
