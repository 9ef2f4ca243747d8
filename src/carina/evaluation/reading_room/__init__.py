"""What a flag does to the time until a radiograph is read."""
