"""Numbers that compiled code and its callers agree on."""

IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SELU, GELU, SILU, SOFTPLUS, SOFTMAX, EXP = range(12)
BINARY_CROSS_ENTROPY, CROSS_ENTROPY, SQUARED, ABSOLUTE, HUBER, QUANTILE, POISSON = range(7)

#: activations whose slope follows from the activation itself with all its digits; the others keep
#: the slope, or what it is computed from, in a buffer of its own
FROM_ACTIVATION = (IDENTITY, RELU, LEAKY_RELU)

#: activations of the pieces of networks for tables
SELU_UNITS, MISH_UNITS = range(2)

#: `Settings.optimizer`
SGD, MOMENTUM, NESTEROV, ADAM = range(4)

#: places in the numbers that `update` reads
PENALTY, SCALE, KEEP, STEP, EPSILON, BETA1, REST1, BETA2, REST2 = range(9)

#: terms of a sum that are packed at a time
BLOCK_K = 512
#: rows of the first operand that stay in the L2 cache while the columns pass
BLOCK_ROWS = 128
#: columns that are packed at a time
BLOCK_COLUMNS = 528
#: elements between packed tiles of rows, so that they do not all fall into the same few places
ROW_PAD = 16
#: where in a thread's buffer the packed rows begin, and the results of a panel's edge
ROWS_AT = BLOCK_K * BLOCK_COLUMNS
EDGE_AT = ROWS_AT + (BLOCK_K + ROW_PAD) * BLOCK_ROWS
#: elements of a thread's buffer: a block of columns, then a block of rows, then a panel of results,
#: which is three vectors of 64 bytes wide at most
PACK_SIZE = EDGE_AT + BLOCK_ROWS * 3 * 64 // 4

#: an operand whose panel spans more elements than this is packed before it is read again and again
UNPACKED_SPAN = 1 << 14
#: a later layer's weight gradient of at most so many rows is computed by `dot_product`, unpacked
DOT_ROWS = 4
#: rows and columns whose accumulators `dot_product` keeps at a time
DOT_BLOCK = 64
#: columns whose gradient `direct_gradient` computes before they are updated: whole panels
DIRECT_COLUMNS = 192

#: a layer's weights are split by units if each thread gets so many, else by inputs
UNITS_TO_SPLIT = 32

#: weights of a layer from which on they are updated piece by piece with their gradient
FUSED_WEIGHTS = 1 << 17
