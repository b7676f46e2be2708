"""One module for each subcommand: its parser and what it does.

Heavy imports are inside the handlers, so that --help is instant.
"""
