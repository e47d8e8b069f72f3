"""Modules, layers, initialisers and penalties, with PyTorch's names and state_dict keys."""

from .dropout import (
    AlphaDropout,
    DropConnect,
    Dropout,
    Dropout1d,
    Dropout2d,
    DropPath,
    GaussianDropout,
    GaussianNoise,
    Residual,
    Stochastic,
)
from .initialisers import (
    fan_in_uniform,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    normal,
    ones,
    zeros,
)
from .layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    Affine,
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    Upsample,
)
from .module import Layer, Module, Parameter, Sequential
from .norms import BatchNorm1d, BatchNorm2d, GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm
from .penalties import L1, L2, ElasticNet, GroupL2, Penalty, penalty
from .reports import sparsity, summary
from .sequences import GRU, LSTM, RNN, Embedding, MultiheadAttention
