"""The page that classifies in the browser: its server; the rest is JavaScript."""
