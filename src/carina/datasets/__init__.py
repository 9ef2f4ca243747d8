"""Many radiographs with labels become a manifest with a split."""
