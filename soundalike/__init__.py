"""Soundalike: the moderation pipeline between "upload" and "published".

This package is the front door (command line, settings). `soundalike.errors` is the one module
that every other room may import; nothing else here is imported by them.
"""

__version__ = "0.1.0"
