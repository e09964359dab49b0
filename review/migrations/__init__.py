"""How the desk's tables came to be, revision by revision."""
