"""Plain values that the mechanisms exchange; no input or output happens here."""
