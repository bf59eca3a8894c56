"""Images, audio and text by stimulus id, with cached features."""
