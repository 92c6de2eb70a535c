"""A frozen network under the dense one: an encoder turns each picture into a vector.

``encoders`` finds one by its name or its file; ``running`` runs it with onnxruntime; ``weights``
reads the weights that a package ships, and ``efficientnet_lite`` states their network.
"""
