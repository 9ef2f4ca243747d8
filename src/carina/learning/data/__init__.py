"""The images that a training learns from, as batches of tensors."""
