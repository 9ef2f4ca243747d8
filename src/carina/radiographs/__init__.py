"""A file becomes a radiograph, and a radiograph becomes a tensor."""
