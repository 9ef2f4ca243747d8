"""``report.html``: one page without network that shows an evaluation; its figures and tables also as files."""
