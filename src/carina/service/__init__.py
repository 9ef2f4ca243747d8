"""``carina serve``: a reading room opens Carina in a browser."""
