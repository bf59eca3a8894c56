"""Frozen networks that tell how alike two pictures are, loaded from the weights their authors published."""
