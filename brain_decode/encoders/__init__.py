"""Brain windows to vectors: one paper, one file."""
