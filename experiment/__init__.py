"""What both twins share: configs, data, the stream, run folders, figures.

Everything here is NumPy. No module of this package imports a twin, JAX or
PyTorch at its top; only ``data`` asks torchvision for a data set by name.
"""
