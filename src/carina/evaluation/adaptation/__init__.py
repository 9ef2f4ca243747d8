"""A model learns a site: its last layer is fitted again to labelled films of one hospital, and judged on others."""
