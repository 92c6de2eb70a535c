"""How compiled code calls units, through a table of their addresses."""

from typing import Any

import llvmlite.ir
from numba.core import types
from numba.extending import intrinsic

from backlit.training.engine.units import ARGUMENTS, ORDER
from backlit.training.machine_code.kinds import signature_of


def _caller(name: str) -> Any:
    """Make the function with which compiled code calls a unit: the table first, then arguments."""

    @intrinsic
    def call(typing_context: Any, units: Any, *arguments: Any) -> Any:
        given = arguments[0] if len(arguments) == 1 else arguments
        real = given[ARGUMENTS[name].index("R")].dtype
        unit = signature_of(ARGUMENTS[name], real)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            table, values = args[0], args[1]
            count = len(unit.args)
            values = [builder.extract_value(values, i) for i in range(count)]
            address_type = llvmlite.ir.IntType(64)
            place = builder.gep(table, [address_type(ORDER.index(name))], source_etype=address_type)
            address = builder.load(place, typ=address_type)
            function_type = llvmlite.ir.FunctionType(
                context.get_value_type(unit.return_type),
                [context.get_value_type(kind) for kind in unit.args],
            )
            target = builder.inttoptr(address, function_type.as_pointer())
            result = builder.call(target, values)
            if unit.return_type == types.void:
                return context.get_dummy_value()
            return result

        return unit.return_type(units, types.StarArgTuple(unit.args)), codegen

    return call


panel = _caller("panel")
dot_product = _caller("dot_product")
gather_columns = _caller("gather_columns")
packed_product = _caller("packed_product")
product = _caller("product")
weight_gradient = _caller("weight_gradient")
direct_gradient = _caller("direct_gradient")
sparse_product = _caller("sparse_product")
sparse_weight_gradient = _caller("sparse_weight_gradient")
activate = _caller("activate")
activate_rare = _caller("activate_rare")
differentiate = _caller("differentiate")
differentiate_rare = _caller("differentiate_rare")
losses_of_logits = _caller("losses_of_logits")
losses_of_residuals = _caller("losses_of_residuals")
losses_of_classes = _caller("losses_of_classes")
losses_of_shares = _caller("losses_of_shares")
softmax = _caller("softmax")
update = _caller("update")
squared_norm = _caller("squared_norm")
