"""Memory: the licensed catalog, its terms, its vectors, and how to search them."""
