"""Networks from and to other libraries: PyTorch and Keras, each imported in one module."""
