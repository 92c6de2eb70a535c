"""From a pair of functions to findings: what a wrong gradient has to do with the right one.

Relations compare the two arrays alone; structural relations use the forward pass. A node C of
it has a gradient dC, and an input's gradient is J_C^T dC plus what reaches it by other ways. A
fault at the node replaces dC by another array: the activation's derivative left out, used twice, or
taken elsewhere; softmax's Jacobian cut to its diagonal. A fault in a product replaces it by another
product of the same two factors.
"""
