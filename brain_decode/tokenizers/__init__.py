"""Signal to tokens and back."""
