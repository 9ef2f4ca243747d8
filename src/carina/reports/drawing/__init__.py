"""Pictures of numbers: each is drawn once, as SVG for the page and as PNG for folders and papers."""
