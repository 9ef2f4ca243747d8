"""A page in a notebook: in a frame of its own, so that its style and script touch nothing around it."""

from __future__ import annotations

import base64
import html


def framed(page: str, title: str) -> str:
    """Return a page as a frame that holds it whole.

    The frame may run the page's script and nothing else: without ``allow-same-origin`` it cannot reach the notebook,
    nor its cookies or storage, and the page's own policy lets it load and send nothing.

    Parameters
    ----------
    page
        The whole page.
    title
        Of the frame, for screen readers.
    """
    style = "width:100%;height:900px;border:1px solid #999"
    content, name = html.escape(page, quote=True), html.escape(title, quote=True)
    return f'<iframe title="{name}" srcdoc="{content}" sandbox="allow-scripts" style="{style}"></iframe>'


def pictured(svg: str, title: str, width: float) -> str:
    """Return a drawing as an image: inline, its style sheet would be the notebook's.

    Parameters
    ----------
    svg
        That stands alone.
    title
        Read out in place of it.
    width
        In pixels.
    """
    source = base64.b64encode(svg.encode()).decode()
    name = html.escape(title, quote=True)
    return f'<img alt="{name}" style="max-width:100%" width="{width:.0f}" src="data:image/svg+xml;base64,{source}">'
