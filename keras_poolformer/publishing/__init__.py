"""Model cards and repositories of a model."""
