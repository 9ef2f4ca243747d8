"""HTML that is built and not glued: whatever is not built here is text, and escaped."""

from __future__ import annotations

import html

_VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Markup that may stand in a page as it is."""

    __slots__ = ()


Child = Html | str | int | None
Attribute = str | int | float | bool | None


def element(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return one element with its children.

    Parameters
    ----------
    name
        The tag.
    children
        `Html` as it is, text escaped, None left out.
    attributes
        ``class_`` is ``class``, other underscores are hyphens; True is a bare attribute, None and False are left out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """Return children one after the other."""
    return Html("".join(escape(child) for child in children if child is not None))


def escape(child: Child) -> Html:
    """Return text as markup that shows it; markup as it is."""
    return child if isinstance(child, Html) else Html(html.escape("" if child is None else str(child), quote=True))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'
