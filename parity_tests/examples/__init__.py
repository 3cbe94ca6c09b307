"""Pairs that are not this project's GAN, as a user would check them."""
