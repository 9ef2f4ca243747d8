"""The machine that Carina runs on: inference engines, their compiled graphs, threads and processors."""
