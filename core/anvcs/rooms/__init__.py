"""Live rooms: op log, documents, tree; the only package that imports pycrdt."""
