"""What every room stands on: errors, messages, files, progress. It knows nothing of any model."""
