"""Relations that need the inside of the forward pass: activations, products, softmax.

A node C of the forward pass has a gradient dC; an input's gradient is J_C^T dC, plus what reaches
it by other ways. Faults at the node replace dC by another array: the activation's derivative left
out, used twice, or taken elsewhere; softmax's Jacobian reduced to its diagonal. Faults in the
products behind it replace a matrix product by another one of the same two factors.
"""
