"""BrainDecoder: what is saved, served, streamed and scored."""
