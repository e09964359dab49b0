"""`python -m soundalike` is the `soundalike` command."""

from soundalike.cli import main

if __name__ == "__main__":
    main()
