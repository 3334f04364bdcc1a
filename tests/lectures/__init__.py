"""The lectures, row by row."""
