"""The files of one scene's product, and what is said of them."""
