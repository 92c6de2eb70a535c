"""The functions of a file or a notebook, without running what stands around them."""
