"""A recorded result made again, and how far the two are apart."""
