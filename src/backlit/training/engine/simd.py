"""Vector instructions inside Numba: the tiles of which every matrix product is made.

Numba leaves vectorising to LLVM, which does well with plain loops and badly with the innermost
block of a matrix product: it will not keep a block of accumulators in registers. The intrinsics
here say what is meant, with LLVM's own vector types, which every processor can run: `outer_tile`,
`gathered_tile`, `dot_tile` and `transpose_tile`. The width of a vector and the shape of the tiles
follow from the processor.

Memory is addressed by pointers and offsets in elements. Nothing is checked here.
"""

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from backlit.training.machine_code.kernels import TARGET

VECTOR_BYTES, (TILE_ROWS, TILE_VECTORS) = TARGET.vector_bytes, TARGET.tile

# Numba compiles a function anew for each literal that it is called with; these are plain values
ZERO, YES, NO = np.int64(0), np.bool_(True), np.bool_(False)

_INT = ir.IntType(64)
_LANE = ir.IntType(32)


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)


class _Vectors:
    """Writes loads, stores and arithmetic of one vector type through an IR builder."""

    def __init__(self, context: Any, builder: Any, element: Any) -> None:
        self.context, self.builder = context, builder
        self.element = context.get_value_type(element)
        self.bytes = element.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.bytes
        self.type = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)

    def offset(self, base: Any, step: Any, count: int) -> Any:
        """Return base + count * step."""
        if count == 0:
            return base
        return self.builder.add(base, self.builder.mul(step, _int(count)))

    def _pointer(self, data: Any, offset: Any) -> Any:
        place = self.builder.gep(data, [offset], source_etype=self.element)
        return self.builder.bitcast(place, self.type.as_pointer())

    def load(self, data: Any, offset: Any) -> Any:
        pointer = self._pointer(data, offset)
        return self.builder.load(pointer, align=self.bytes, typ=self.type)

    def store(self, value: Any, data: Any, offset: Any) -> None:
        self.builder.store(value, self._pointer(data, offset), align=self.bytes)

    def broadcast(self, scalar: Any) -> Any:
        undefined = ir.Constant(self.type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_LANE, 0))
        return self.shuffle(first, first, [0] * self.lanes)

    def load_scalar(self, data: Any, offset: Any) -> Any:
        place = self.builder.gep(data, [offset], source_etype=self.element)
        return self.builder.load(place, typ=self.element)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_LANE, len(lanes)), lanes)
        return self.builder.shuffle_vector(a, b, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c; 'contract' lets the processor fuse the two where it can."""
        product = self.builder.fmul(a, b, flags=("contract",))
        return self.builder.fadd(c, product, flags=("contract",))

    def variable(self) -> Any:
        """Return a vector variable that LLVM will keep in a register."""
        return cgutils.alloca_once(self.builder, self.type)

    def lane_mask(self, count: Any) -> Any:
        """Return the mask of the first `count` lanes."""
        lanes = ir.VectorType(_INT, self.lanes)
        iota = ir.Constant(lanes, list(range(self.lanes)))
        undefined = ir.Constant(lanes, ir.Undefined)
        first = self.builder.insert_element(undefined, count, ir.Constant(_LANE, 0))
        mask = ir.Constant(ir.VectorType(_LANE, self.lanes), [0] * self.lanes)
        bound = self.builder.shuffle_vector(first, first, mask)
        return self.builder.icmp_signed("<", iota, bound)

    def _masked(self, kind: str, result: Any, operands: list[Any]) -> Any:
        letter = "f" if self.bytes == 4 else "d"
        bits = "32" if letter == "f" else "64"
        name = f"llvm.masked.{kind}.v{self.lanes}f{bits}.p0"
        function_type = ir.FunctionType(result, [operand.type for operand in operands])
        function = cgutils.get_or_insert_function(self.builder.module, function_type, name)
        return self.builder.call(function, operands)

    def load_lanes(self, data: Any, offset: Any, mask: Any) -> Any:
        align = ir.Constant(ir.IntType(32), self.bytes)
        pointer = self._pointer(data, offset)
        return self._masked("load", self.type, [pointer, align, mask, self.zero])


@intrinsic
def shifted(typing_context: Any, place: Any, offset: Any) -> Any:
    """Return a pointer some elements further on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(place.dtype)
        return builder.gep(args[0], [args[1]], source_etype=element)

    return place(place, types.intp), codegen


def _ask_for(builder: Any, pointer: Any) -> None:
    flags = [ir.IntType(32)] * 3
    function_type = ir.FunctionType(ir.VoidType(), [pointer.type, *flags])
    name = "llvm.prefetch.p0"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    builder.call(function, [pointer, *(ir.Constant(flags[0], value) for value in (0, 3, 1))])


@intrinsic
def prefetch(typing_context: Any, place: Any, offset: Any) -> Any:
    """Ask for the cache line of an element that will be read soon; any offset is harmless."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(place.dtype)
        pointer = builder.gep(args[0], [args[1]], source_etype=element)
        _ask_for(builder, pointer)
        return context.get_dummy_value()

    return types.void(place, types.intp), codegen


@intrinsic
def to_vector(typing_context: Any, place: Any, offset: Any) -> Any:
    """Return how many elements it is from an element to the next that a whole vector begins with.

    One that begins anywhere else lies across two cache lines, where vectors are as long as those.
    """
    size = place.dtype.bitwidth // 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_data_type(place.dtype)
        pointer = builder.gep(args[0], [args[1]], source_etype=element)
        beyond = builder.neg(builder.ptrtoint(pointer, _INT))
        return builder.lshr(
            builder.and_(beyond, _int(VECTOR_BYTES - 1)), _int(size.bit_length() - 1)
        )

    return types.intp(place, types.intp), codegen


@intrinsic
def lanes(typing_context: Any, place: Any) -> Any:
    """Return how many elements of a pointer's type fit in a vector, as a constant."""
    count = VECTOR_BYTES // (place.dtype.bitwidth // 8)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_constant(types.intp, count)

    return types.intp(place), codegen


@intrinsic(prefer_literal=True)
def like(typing_context: Any, value: Any, constant: Any) -> Any:
    """Return a number in the floating type of `value`; a literal becomes a constant.

    Numba computes float32 with a float64 literal in float64, which halves the vectors.
    """
    target = getattr(value, "dtype", value)
    source = constant.literal_type if isinstance(constant, types.Literal) else constant

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if isinstance(constant, types.Literal):
            return context.get_constant(target, constant.literal_value)
        return context.cast(builder, args[1], source, target)

    return target(value, constant), codegen


@intrinsic(prefer_literal=True)
def outer_tile(
    typing_context: Any,
    rows: Any,
    vectors: Any,
    C: Any,
    c: Any,
    ldc: Any,
    S: Any,
    s: Any,
    s_row: Any,
    s_k: Any,
    V: Any,
    v: Any,
    ldv: Any,
    K: Any,
    start: Any,
    B: Any,
    b: Any,
) -> Any:
    """Compute one tile of C = S V + start by outer products, all accumulators in registers.

    ``C[i, j] = sum_k S[i, k] V[k, j]`` for `rows` rows i and `vectors` vectors of columns j.
    ``S[i, k]`` lies at ``s + i s_row + k s_k``, so that a transposed operand is only other strides;
    rows of V are `ldv` apart. `start` says what is added: 0 nothing, 1 ``B[b + i]`` (a bias), 2
    what C holds.
    """
    element = C.dtype
    n_rows, n_vectors = rows.literal_value, vectors.literal_value
    signature = types.void(
        rows, vectors, C, *([types.intp] * 2), S, *([types.intp] * 3), V,
        *([types.intp] * 4), B, types.intp,
    )  # fmt: skip

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (_, _, C_data, c, ldc, S_data, s, s_row, s_k, V_data, v, ldv, K, start, B_data,
         b) = args  # fmt: skip
        x = _Vectors(context, builder, element)
        tile = _Accumulators(x, n_rows, n_vectors, C_data, c, ldc)
        tile.begin(start, B_data, b)
        with cgutils.for_range(builder, K) as loop:
            v_row = builder.add(v, builder.mul(loop.index, ldv))
            s_column = builder.add(s, builder.mul(loop.index, s_k))
            tile.add_product(V_data, v_row, S_data, s_column, s_row)
        tile.end()
        return context.get_dummy_value()

    return signature, codegen


class _Accumulators:
    """The accumulators of a tile of C, all in registers, and what is done with them."""

    def __init__(self, x: _Vectors, rows: int, vectors: int, C: Any, c: Any, ldc: Any) -> None:
        self._x, self._C = x, C
        self._rows = [[x.variable() for _ in range(vectors)] for _ in range(rows)]
        self._places = [
            [x.offset(x.builder.add(c, _int(j * x.lanes)), ldc, i) for j in range(vectors)]
            for i in range(rows)
        ]

    def begin(self, start: Any, B: Any, b: Any) -> None:
        """Begin with 0, with row i's bias ``B[b + i]`` or with what C holds, by `start`."""
        x, builder = self._x, self._x.builder
        for row in self._rows:
            for accumulator in row:
                builder.store(x.zero, accumulator)
        with builder.if_then(builder.icmp_signed("==", start, _int(1))):
            for i, row in enumerate(self._rows):
                bias = x.broadcast(x.load_scalar(B, builder.add(b, _int(i))))
                for accumulator in row:
                    builder.store(bias, accumulator)
        with builder.if_then(builder.icmp_signed("==", start, _int(2))):
            for i, row in enumerate(self._rows):
                for j, accumulator in enumerate(row):
                    builder.store(x.load(self._C, self._places[i][j]), accumulator)

    def add_product(self, V: Any, v_row: Any, S: Any, s_column: Any, s_row: Any) -> None:
        """Add the outer product of a column of S and a row of V."""
        x, builder = self._x, self._x.builder
        columns = [
            x.load(V, builder.add(v_row, _int(j * x.lanes))) for j in range(len(self._rows[0]))
        ]
        for i, row in enumerate(self._rows):
            scalar = x.broadcast(x.load_scalar(S, x.offset(s_column, s_row, i)))
            for j, accumulator in enumerate(row):
                total = x.multiply_add(scalar, columns[j], builder.load(accumulator))
                builder.store(total, accumulator)

    def end(self) -> None:
        """Write them to C."""
        for i, row in enumerate(self._rows):
            for j, accumulator in enumerate(row):
                self._x.store(self._x.builder.load(accumulator), self._C, self._places[i][j])


class _Lookahead:
    """Asks for lines that will be read later, one a turn, in the order in which they lie in memory.

    That order is one that the processor can follow by itself. At first comes the line at
    ``places[p + row] + at``, then those `step` elements apart, and after `last` the next row's from
    `first` on.
    """

    def __init__(self, x: _Vectors, V: Any, places: Any, p: Any, asked: Any) -> None:
        row, at, self._step, self._first, self._last = asked
        self._x, self._V, self._places, self._p = x, V, places, p
        self._row = cgutils.alloca_once_value(x.builder, row)
        self._at = cgutils.alloca_once_value(x.builder, at)

    def place_of(self, row: Any) -> Any:
        """Return where a row begins."""
        builder = self._x.builder
        pointer = builder.gep(self._places, [builder.add(self._p, row)], source_etype=_INT)
        return builder.load(pointer, typ=_INT)

    def ask(self) -> None:
        """Ask for the next line."""
        builder = self._x.builder
        row, at = builder.load(self._row), builder.load(self._at)
        place = builder.add(self.place_of(row), at)
        _ask_for(builder, builder.gep(self._V, [place], source_etype=self._x.element))
        at = builder.add(at, self._step)
        over = builder.icmp_signed(">=", at, self._last)
        builder.store(builder.select(over, self._first, at), self._at)
        builder.store(builder.add(row, builder.zext(over, _INT)), self._row)


@intrinsic(prefer_literal=True)
def gathered_tile(
    typing_context: Any,
    rows: Any,
    vectors: Any,
    C: Any,
    c: Any,
    ldc: Any,
    S: Any,
    s: Any,
    s_row: Any,
    V: Any,
    v: Any,
    places: Any,
    p: Any,
    K: Any,
    start: Any,
    row: Any,
    at: Any,
    step: Any,
    first: Any,
    last: Any,
) -> Any:
    """Compute one tile of C = S V as `outer_tile` does, from rows of V that lie anywhere.

    Row k of V begins at ``places[p + k] + v``, and ``S[i, k]`` lies at ``s + i s_row + k``; `start`
    is 0, or 2 to add to what C holds.

    With each row a line of V is asked for; see `_Lookahead`.
    """
    element = C.dtype
    n_rows, n_vectors = rows.literal_value, vectors.literal_value
    signature = types.void(
        rows, vectors, C, *([types.intp] * 2), S, *([types.intp] * 2), V, types.intp, places,
        *([types.intp] * 8),
    )  # fmt: skip

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (_, _, C_data, c, ldc, S_data, s, s_row, V_data, v, place_data, p, K, start, row, at, step,
         first, last) = args  # fmt: skip
        x = _Vectors(context, builder, element)
        lookahead = _Lookahead(x, V_data, place_data, p, (row, at, step, first, last))
        tile = _Accumulators(x, n_rows, n_vectors, C_data, c, ldc)
        tile.begin(start, C_data, c)
        with cgutils.for_range(builder, K) as loop:
            lookahead.ask()
            v_row = builder.add(lookahead.place_of(loop.index), v)
            tile.add_product(V_data, v_row, S_data, builder.add(s, loop.index), s_row)
        tile.end()
        return context.get_dummy_value()

    return signature, codegen


def _transposed(x: _Vectors, rows: list[Any]) -> list[Any]:
    """Transpose a square of vectors in log2(lanes) rounds of pairwise shuffles."""
    n = x.lanes
    distance = n // 2
    while distance:
        for i in range(n):
            if i & distance:
                continue
            a, b = rows[i], rows[i + distance]
            # exchange a's blocks with the bit set for b's with the bit clear
            low = [l if not l & distance else n + (l ^ distance) for l in range(n)]
            high = [l ^ distance if not l & distance else n + l for l in range(n)]
            rows[i], rows[i + distance] = x.shuffle(a, b, low), x.shuffle(a, b, high)
        distance //= 2
    return rows


@intrinsic
def transpose_tile(
    typing_context: Any, target: Any, t: Any, ldt: Any, source: Any, places: Any, p: Any, k: Any
) -> Any:
    """Transpose a square of vectors: ``target[t + i ldt + j] = source[row j, k + i]``.

    Row j of the source begins at ``places[p + j]``, so that rows may lie anywhere.
    """
    signature = types.void(target, types.intp, types.intp, source, places, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target_data, t, ldt, source_data, place_data, p, k = args
        x = _Vectors(context, builder, target.dtype)
        rows = []
        for j in range(x.lanes):
            pointer = builder.gep(place_data, [builder.add(p, _int(j))], source_etype=_INT)
            place = builder.load(pointer, typ=_INT)
            rows.append(x.load(source_data, builder.add(place, k)))
        for i, row in enumerate(_transposed(x, rows)):
            x.store(row, target_data, x.offset(t, ldt, i))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic(prefer_literal=True)
def dot_tile(
    typing_context: Any,
    rows: Any,
    columns: Any,
    C: Any,
    c: Any,
    ldc: Any,
    c_column: Any,
    S: Any,
    s: Any,
    lds: Any,
    V: Any,
    places: Any,
    p: Any,
    at: Any,
    K: Any,
    part: Any,
    T: Any,
    t: Any,
    start: Any,
    B: Any,
    b: Any,
    row: Any,
    ahead: Any,
    step: Any,
    first: Any,
    last: Any,
) -> Any:
    """Compute one tile of C = S V^T + start by dot products along contiguous rows.

    ``C[c + i ldc + j c_column] = sum_k S[s + i lds + at + k] V[places[p + j] + at + k]``; `start`
    is 0 for nothing, 1 for a bias ``B[b + i]``, 2 for what C holds. Any K is right: the last,
    partial vector is loaded under a mask.

    The sum may be computed in parts, whole vectors each but for the last, the accumulators staying
    at ``T[t]`` meanwhile, which changes no bit: `part` is the sum of 1 for "there are parts before"
    and 2 for "there are parts to come".

    With each vector of a row a line of V is asked for, at first at `ahead`; see `_Lookahead`.
    """
    element = C.dtype
    n_rows, n_columns = rows.literal_value, columns.literal_value
    signature = types.void(
        rows, columns, C, *([types.intp] * 3), S, types.intp, types.intp, V, places,
        *([types.intp] * 4), T, types.intp, types.intp, B, *([types.intp] * 6),
    )  # fmt: skip

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (_, _, C_data, c, ldc, c_column, S_data, s, lds, V_data, place_data, p, at, K, part, T_data,
         t, start, B_data, b, row, ahead, step, first, last) = args  # fmt: skip
        x = _Vectors(context, builder, element)
        lookahead = _Lookahead(x, V_data, place_data, p, (row, ahead, step, first, last))
        tile = [(i, j) for i in range(n_rows) for j in range(n_columns)]
        accumulators = {cell: x.variable() for cell in tile}
        kept = [builder.add(t, _int(place * x.lanes)) for place in range(len(tile))]
        for accumulator in accumulators.values():
            builder.store(x.zero, accumulator)
        with builder.if_then(builder.trunc(part, ir.IntType(1))):
            for cell, place in zip(tile, kept, strict=True):
                builder.store(x.load(T_data, place), accumulators[cell])
        s_rows = [builder.add(x.offset(s, lds, i), at) for i in range(n_rows)]
        v_rows = [builder.add(lookahead.place_of(_int(j)), at) for j in range(n_columns)]

        def accumulate(load: Any) -> None:
            v_vectors = [load(V_data, place) for place in v_rows]
            for i in range(n_rows):
                s_vector = load(S_data, s_rows[i])
                for j in range(n_columns):
                    accumulator = accumulators[i, j]
                    total = x.multiply_add(s_vector, v_vectors[j], builder.load(accumulator))
                    builder.store(total, accumulator)

        whole = builder.sdiv(K, _int(x.lanes))
        with cgutils.for_range(builder, whole) as loop:
            lookahead.ask()
            k = builder.mul(loop.index, _int(x.lanes))
            accumulate(lambda data, place: x.load(data, builder.add(place, k)))
        done = builder.mul(whole, _int(x.lanes))
        with builder.if_then(builder.icmp_signed("<", done, K)):
            mask = x.lane_mask(builder.sub(K, done))
            accumulate(lambda data, place: x.load_lanes(data, builder.add(place, done), mask))
        unfinished = builder.icmp_signed(">=", part, _int(2))
        with builder.if_else(unfinished) as (keep, finish):
            with keep:
                for cell, place in zip(tile, kept, strict=True):
                    x.store(builder.load(accumulators[cell]), T_data, place)
            with finish:
                for i, j in tile:
                    total = _sum_of_lanes(x, builder.load(accumulators[i, j]))
                    place = builder.add(x.offset(c, ldc, i), builder.mul(c_column, _int(j)))
                    pointer = builder.gep(C_data, [place], source_etype=x.element)
                    slot = cgutils.alloca_once_value(builder, total)
                    with builder.if_then(builder.icmp_signed("==", start, _int(1))):
                        bias = x.load_scalar(B_data, builder.add(b, _int(i)))
                        builder.store(builder.fadd(total, bias), slot)
                    with builder.if_then(builder.icmp_signed("==", start, _int(2))):
                        held = builder.load(pointer, typ=x.element)
                        builder.store(builder.fadd(total, held), slot)
                    builder.store(builder.load(slot), pointer)
        return context.get_dummy_value()

    return signature, codegen


def _sum_of_lanes(x: _Vectors, vector: Any) -> Any:
    """Add up a vector's lanes by halves, in a fixed order."""
    count = x.lanes
    while count > 1:
        count //= 2
        low = x.shuffle(vector, vector, list(range(count)))
        high = x.shuffle(vector, vector, list(range(count, 2 * count)))
        vector = x.builder.fadd(low, high)
    return x.builder.extract_element(vector, ir.Constant(_LANE, 0))


@intrinsic
def atomic_add(typing_context: Any, place: Any, index: Any, amount: Any) -> Any:
    """Add to an integer that several threads share; return what it was before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(args[0], [args[1]], source_etype=_INT)
        return builder.atomic_rmw("add", pointer, args[2], "acq_rel")

    return types.intp(place, types.intp, types.intp), codegen


@intrinsic
def atomic_load(typing_context: Any, place: Any, index: Any) -> Any:
    """Read an integer that several threads share."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(args[0], [args[1]], source_etype=_INT)
        return builder.load_atomic(pointer, "acquire", 8, typ=_INT)

    return types.intp(place, types.intp), codegen


def _control_register() -> tuple[str, str, int, int]:
    """Return what reads and writes the processor's floating-point mode, its bits, and the mask.

    The mask says that results (and, on x86, operands) below the range of full precision count as
    zero. Without such a register known here, names are empty.
    """
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64", "i386", "i686"):
        return "llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr", 32, 0x8040
    if machine in ("aarch64", "arm64"):
        return "llvm.aarch64.get.fpcr", "llvm.aarch64.set.fpcr", 64, 1 << 24
    return "", "", 32, 0


@intrinsic
def flush_denormals(typing_context: Any) -> Any:
    """Let this thread's processor take denormal numbers for zero; return the mode it had before.

    Callers set the mode back with `restore_mode` before any other code runs.
    """
    read, write, bits, mask = _control_register()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not read:
            return context.get_constant(types.int64, 0)
        before = _read_mode(builder, read, bits)
        _write_mode(builder, write, builder.or_(before, ir.Constant(before.type, mask)))
        return builder.zext(before, _INT) if bits < 64 else before

    return types.int64(), codegen


@intrinsic
def restore_mode(typing_context: Any, mode: Any) -> Any:
    """Give the processor the mode back that `flush_denormals` returned."""
    _, write, bits, _ = _control_register()

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if write:
            value = builder.trunc(args[0], ir.IntType(bits)) if bits < 64 else args[0]
            _write_mode(builder, write, value)
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _read_mode(builder: Any, name: str, bits: int) -> Any:
    if bits == 64:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
    place = cgutils.alloca_once(builder, ir.IntType(bits))
    kind = ir.FunctionType(ir.VoidType(), [place.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [place])
    return builder.load(place)


def _write_mode(builder: Any, name: str, value: Any) -> None:
    if value.type.width == 32:
        place = cgutils.alloca_once(builder, value.type)
        builder.store(value, place)
        value = place
    kind = ir.FunctionType(ir.VoidType(), [value.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [value])
