"""Loading and saving model files without executing what is in them."""
