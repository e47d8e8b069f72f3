"""Data-parallel training: the gradient of a loss over chunks of data, by any pool of processes.

The chunks may be computed anywhere and in any order. Each has its own seed, and the gradients are
added in the order of the chunks. So a step has the same bits for any number of processes, also
with dropout, and also if a chunk runs again because its process died. With manual_seed(0) in each
process all chunks would draw the same mask.
"""

from functools import partial

from .array import as_list
from .engine import constant, grad
from .noise import frozen_noise, seeded_with


def backward(loss_of, model, chunks, seed, map=map):
    """Adds to the `.grad` of each parameter the derivative of the sum of loss_of(model, chunk).

    loss_of  a function that returns the recorded loss of a chunk, a Tensor of one entry. For a mean
             over all samples, divide the sum over a chunk by the number of all samples
    model    a module that can be pickled
    chunks   a list of anything that can be pickled: arrays, or names of files that loss_of reads
    seed     a whole number or several, such as (seed, step). The noise of chunk i comes from the
             seed (*seed, i)
    map      how to call a function on each chunk: the `map` of Python, or of any Executor as in
             concurrent.futures, such as client.get_executor().map of dask.distributed

    Returns the sum of the losses, a number. BatchNorm takes the statistics of each chunk, and its
    running statistics do not change. For statistics of all rows use one lazy array: see foreign.py.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    seeds = [(*as_list(seed), i) for i in range(len(chunks))]
    loss, totals = 0.0, [None] * len(parameters)
    for value, gradients in map(partial(_of_chunk, loss_of, model), chunks, seeds):
        loss += value
        for i, g in enumerate(gradients):
            if g is not None:
                totals[i] = g if totals[i] is None else totals[i] + g
    for p, total in zip(parameters, totals):
        if total is not None:
            p.grad = constant(total) if p.grad is None else p.grad + total
    return loss


def _of_chunk(loss_of, model, chunk, seed):
    """The loss of a chunk, and its derivatives by the parameters of the model, as arrays."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    with seeded_with(seed), frozen_noise():  # frozen: running statistics do not change
        loss = loss_of(model, chunk)
        gradients = grad(loss, parameters, allow_unused=True)
    return loss.item(), [None if g is None else g.data for g in gradients]
