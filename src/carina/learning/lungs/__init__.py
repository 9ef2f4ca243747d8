"""The lung segmenter is learned."""
