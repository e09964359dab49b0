"""One module a command. They import little: what is heavy is imported where it is used."""
