"""The errors of the engine, one function for each. They name the op, the shapes and the remedy."""

import numpy as np


def same_kind(error, message):
    """An error with this message. Its class is the built-in class that `error` derives from."""
    kinds = ValueError, IndexError, TypeError, OverflowError, FloatingPointError, MemoryError
    return next((kind for kind in kinds if isinstance(error, kind)), RuntimeError)(message)


WRONG_CALL = ValueError, IndexError, TypeError, OverflowError  # the errors of wrong arguments


def named(error, name):
    """The error with the name of the called function in front.

    An error that begins with the name, or whose class is not Python's or NumPy's, does not change.
    """
    package = type(error).__module__.partition(".")[0]
    if str(error).startswith(name) or package not in ("builtins", "numpy"):
        return error
    told = same_kind(error, f"{name}: {error}")
    told.__cause__ = error
    return told


# ---------------------------------------------------------------------------------------- tensors


def not_a_leaf(op):
    return RuntimeError(
        f"requires_grad can be set on a leaf only; this is the result of {op.name}. Use t.detach()."
    )


def not_a_float(dtype):
    return TypeError(
        f"gradients need a float dtype, got {dtype}. "
        "Write Tensor([1., 2.]) or x.astype(np.float32)."
    )


def drops_gradient(tensor, action, remedy):
    made = f"the result of {tensor.op.name}" if tensor.op else "a leaf that requires a gradient"
    return TypeError(
        f"{action} would drop the gradient: t, of shape {tensor.shape}, is {made}. {remedy}."
    )


def not_a_copy(tensor):
    return TypeError(
        f"the result of {tensor.op.name}, of shape {tensor.shape}, belongs to a graph and cannot "
        "be copied. Use t.detach()."
    )


def not_one_number(tensor):
    return ValueError(
        f"a tensor of shape {tensor.shape} has {tensor.size} entries, and one is needed here. "
        "Index it, or reduce it with .sum(), .mean(), np.any or np.all."
    )


def no_length():
    return TypeError("a tensor of shape () has no len() and no items. t.item() reads the value.")


def update_of_leaf(tensor, symbol):
    return RuntimeError(
        f"w {symbol} ... on a leaf that requires a gradient (shape {tensor.shape}): it would no "
        "longer be a leaf. Use optimizer.step(), or do it inside `with no_grad():`."
    )


# -------------------------------------------------------------------------------------------- ops


def in_forward(op, args, error):
    """The error of a forward, with the op and the shapes of its arguments."""
    arrays = [a for a in args if hasattr(a, "shape") and not isinstance(a, np.generic)]
    shapes = [str(a.shape) for a in arrays]
    told = str(error).replace(" ", "")
    if isinstance(error, AttributeError):  # an argument is not an array
        error = TypeError(error)
    if not shapes or any(shape.replace(" ", "") in told for shape in shapes):
        return same_kind(error, f"{op.name}: {error}")
    return same_kind(error, f"{op.name} of {' and '.join(shapes)}: {error}")


def no_rule(op, i):
    name = op.names[i]
    return TypeError(
        f"{op.name} has no rule for its argument {name}. "
        f"Use {name}.detach() if no gradient is wanted."
    )


def no_numpy_rule(function):
    module = getattr(function, "__module__", None) or "numpy"
    name = f"{module}.{function.__name__}".replace("numpy", "np", 1)
    return TypeError(
        f"{name} has no gradient rule here. Use t.numpy() to leave the graph, "
        "or add a rule with minigrad.registry.op."
    )


def in_place(action):
    return TypeError(
        f"{action} would change a tensor in place, which the graph could not see. Build a new one "
        "with np.where(mask, new, t), or write to t.data[...] before the forward pass."
    )


def is_complex():
    return TypeError(
        "a Tensor holds real numbers, and the result is complex. Keep the real and the imaginary "
        "part as two tensors, or compute with t.numpy()."
    )


def unsupported_ufunc(ufunc, method, keywords):
    call = f"np.{ufunc.__name__}"
    call += f".{method}" if method != "__call__" else f"(..., {', '.join(keywords)}=)"
    return TypeError(
        f"{call} is not supported on Tensors: its gradient would be lost. "
        f"Use np.{ufunc.__name__}(...) alone, for an array `a += t` write `a = a + t`, "
        "or use a reduction such as np.sum."
    )


# --------------------------------------------------------------------------------------- backward


def in_rule(op, error):
    """The error of a rule. The traceback of `error` shows the line."""
    call = f"rule(g, out, {', '.join(op.names)})"
    return same_kind(error, f"backward, in a rule of {op.name}, called as {call}: {error}")


def wrong_cotangent(op, args, x, cotangent):
    name = op.names[next(i for i, a in enumerate(args) if a is x)]
    is_array = hasattr(cotangent, "shape")
    returned = f"shape {cotangent.shape}" if is_array else f"{cotangent!r}, no array"
    return ValueError(
        f"the rule of {op.name} for {name} returned {returned}; {name} has shape {x.shape}."
    )


def freed(node):
    return RuntimeError(
        f"backward: this graph was already freed (at {node.op.name}, shape {node.shape}). "
        "Run the forward pass again, or pass retain_graph=True to the first backward to go "
        "through it twice."
    )


def changed(node, i):
    x = node.args[i]
    name = getattr(x, "name", None) or node.op.names[i]
    return RuntimeError(
        f"backward: {name!r}, of shape {x.shape}, was changed in place (optimizer.step(), "
        f"load_state_dict, w -= ...) after {node.op.name} used it. Run the forward pass again "
        "after the change, or change a copy."
    )


def not_recording(what):
    return RuntimeError(
        f"{what}: create_graph=True inside no_grad() would record nothing. Call it outside."
    )


def not_recorded(what, y):
    if not hasattr(y, "requires_grad"):
        return TypeError(f"{what}: the outputs must be Tensors, not {y!r:.60}.")
    return RuntimeError(
        f"{what}: this tensor does not depend on any leaf with requires_grad=True "
        "(or was made under no_grad(), or by a compiled step, which has called backward itself)."
    )


def wrong_gradient(what, gradient, shape):
    if gradient is not None:
        given = np.shape(gradient)
        return ValueError(f"{what}: the gradient has shape {given}, the tensor {shape}.")
    return RuntimeError(
        f"{what}: the tensor has shape {shape}, not one entry. "
        "Call .mean() or .sum(), or pass a gradient of that shape."
    )


def wrong_inputs():
    return RuntimeError("grad: the inputs must be Tensors that require a gradient.")


def wrong_count(outputs, gradients):
    return ValueError(f"grad: {len(outputs)} outputs but {len(gradients)} grad_outputs.")


def unused(positions):
    return RuntimeError(
        f"grad: the outputs do not depend on inputs {positions}. "
        "Pass allow_unused=True to get None for them."
    )


# --------------------------------------------------------------------- arrays of other libraries


def library_of(array):
    return type(array).__module__.partition(".")[0]


def not_numpy(array, action="this op"):
    return TypeError(
        f"{action} needs a NumPy array, and got one of {library_of(array)}, of shape "
        f"{array.shape}. minigrad.foreign.compute(t) turns the data of a Tensor t into a NumPy "
        "array. Call it for leaves, before the forward pass."
    )


def not_there(warning):
    what = str(warning).partition(". ")[0].strip()
    return TypeError(f"{what}. Compute the array first, with minigrad.foreign.compute.")


def mixed(libraries, error=""):
    return TypeError(
        f"arrays of {' and '.join(sorted(libraries))} meet here. Convert them to one library, "
        f"with np.asarray(x, like=y). {error}".rstrip()
    )


def unknown_shape(array):
    return ValueError(
        f"the shape {array.shape} is not known before the array of {library_of(array)} is "
        "computed. Call its compute_chunk_sizes() first, or use np.where in place of a mask"
    )


def not_foreign(array):
    return TypeError(
        f"backward: the data of a tensor of shape {array.shape} are an array of "
        f"{library_of(array)}, and a rule made its gradient a NumPy array."
    )


def left_library(array):
    return TypeError(
        f"its forward turned an array of {library_of(array)} into a NumPy array. Write it in "
        "functions of NumPy that accept such arrays, or compute the array first"
    )
