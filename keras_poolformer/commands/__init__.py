"""One module for each subcommand: its parser and its handler.

Heavy imports are inside the handlers, so that --help is instant.
"""
