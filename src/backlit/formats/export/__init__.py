"""Fitted models as ONNX, C, JavaScript and Python: one description, a module for each form."""
