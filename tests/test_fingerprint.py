"""Hashes: two things that differ never share one, and one thing has it in every process."""

from __future__ import annotations

import collections
import enum
import itertools
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.testing._internal.two_tensor import TwoTensor  # a subclass as torchao's weights are

from privaudit.errors import FingerprintError, PrivauditError
from privaudit.fingerprint import fingerprint_module, fingerprint_values


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Point(NamedTuple):
    x: int
    y: Any


@dataclass
class Box:
    size: int
    inside: Any = None


@dataclass
class Crate:
    size: int
    inside: Any = None


class Stated:
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint


def latents(middle: float = 0.0, dtype: Any = np.float32) -> Any:
    """5,000 numbers, of which NumPy and torch print six."""
    values = np.zeros((50, 100), dtype)
    values[25, 50] = middle
    return values


LATENTS = torch.from_numpy(latents())
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch is about to drop them; older models have them
    steps = [torch.full((50,), step) for step in (1.0, 2.0)]
    QUANTISED = [
        *(torch.quantize_per_tensor(LATENTS, step, 0, torch.qint8) for step in (0.1, 0.2)),
        *(torch.quantize_per_channel(LATENTS, s, torch.zeros(50), 0, torch.qint8) for s in steps),
    ]
DIFFERENT: list[Any] = [
    latents(),
    latents(1),
    latents(dtype=np.float16),
    latents().reshape(100, 50),
    latents().T[:50, :50],
    LATENTS,
    torch.from_numpy(latents(1)),
    LATENTS.half(),
    LATENTS.bfloat16(),
    LATENTS.reshape(100, 50),
    [LATENTS],
    {"latents": LATENTS},
    *QUANTISED,
    TwoTensor(LATENTS, LATENTS),
    TwoTensor(LATENTS, LATENTS + 1),
    np.array(["a", {"b": latents()}], object),
    np.array(["a", {"b": latents(1)}], object),
    np.array([(1, 2.0)], [("x", "i4"), ("y", "f4")]),
    np.array([(1, 2.0)], [("x", "i4"), ("z", "f4")]),
    torch.float16,
    torch.bfloat16,
    torch.device("cpu"),
    np.dtype("float16"),
    np.datetime64("2026-01-01"),
    np.datetime64("2026-01-02"),
    Box(1),
    Box(2),
    Box(1, latents()),
    Box(1, latents(1)),
    Crate(1),
    Point(1, 2),
    Point(1, latents()),
    Point(1, latents(1)),
    Colour.RED,
    Colour.BLUE,
    b"\x00\x01",
    b"\x00\x02",
    Path("a/b"),
    "a/b",
    {"a", "b"},
    {"a", "c"},
    ["a", "b"],
    {1: "x"},
    {"1": "x"},
    {None: "x"},
    {(1, 2): "x"},
    {"\0set": ["a", "b"]},
    {"\0enum": ["Colour", "RED", 1]},
    Stated("one"),
    Stated("two"),
    "one",
    Image.new("RGB", (64, 64)),
    Image.new("RGB", (32, 128)),
    Image.new("L", (64, 64)),
    Image.new("RGBA", (64, 64)),
    1,
    1.5,
    1j,
    "1",
    True,
    None,
    [],
    {},
    float("nan"),
    float("inf"),
    {"a": {"b": [1, {"c": 2}]}},
    {"a": {"b": [1, {"c": 3}]}},
]


def test_no_two_things_share_a_hash() -> None:
    prints = [fingerprint_values(x=value) for value in DIFFERENT]
    same = [
        (DIFFERENT[i], DIFFERENT[j])
        for i, j in itertools.combinations(range(len(prints)), 2)
        if prints[i] == prints[j]
    ]
    assert same == []
    assert fingerprint_values(y=1) != fingerprint_values(x=1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({3, 1, 2, "x"}, {"x", 2, 3, 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (LATENTS, LATENTS.T.contiguous().T),
        (LATENTS, torch.nn.Parameter(LATENTS)),
        (latents(), np.asfortranarray(latents())),
        (np.float64(7.5), 7.5),
        (np.float32(7.5), 7.5),
        (np.int64(30), 30),
        (np.bool_(True), True),
        ((1, 2), [1, 2]),
        (torch.Size([1, 2]), (1, 2)),
    ],
)
def test_what_means_the_same_has_one_hash(one: Any, other: Any) -> None:
    assert fingerprint_values(x=one) == fingerprint_values(x=other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(JSON, JSON)
def test_values_are_told_apart_as_python_does(one: Any, other: Any) -> None:
    def typed(value: Any) -> Any:  # to Python 1, 1.0 and True are one, and so are 0.0 and -0.0
        if isinstance(value, dict):
            return {(type(k), k): typed(v) for k, v in value.items()}
        if isinstance(value, list):
            return [typed(v) for v in value]
        return repr(value)

    same = fingerprint_values(x=one) == fingerprint_values(x=other)
    assert same == (typed(one) == typed(other))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "x is a object, which cannot be hashed whole"),
        ({"callback": print}, r"x\['callback'\] is a builtin_function_or_method"),
        ([1, (2, object)], r"x\[1\]\[1\] is a type"),
        (Box(1, lambda: None), r"x.inside is a function"),
        (Point(1, torch.Generator()), r"x.y is a torch._C.Generator"),
        (LATENTS.to_sparse(), "x is a tensor of layout torch.sparse_coo"),
        (torch.empty(3, device="meta"), "x has no values here: its model is offloaded"),
        (np.ma.masked_array([1, 2], [True, False]), "x is a numpy.ma.*MaskedArray"),
        (torch.nn.Linear(2, 2), "x is a torch.nn.modules.linear.Linear"),
        (iter([1]), "x is a list_iterator"),
    ],
)
def test_what_cannot_be_hashed_whole_is_refused_by_its_name(value: Any, message: str) -> None:
    with pytest.raises(FingerprintError, match=message) as caught:
        fingerprint_values(x=value)
    assert isinstance(caught.value, PrivauditError)


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(FingerprintError, match="one of a, b contains itself"):
        fingerprint_values(a=1, b=value)


@pytest.mark.slow
def test_hashes_are_the_same_in_every_process() -> None:
    program = """
import enum, numpy as np, torch
from pathlib import Path
from privaudit.fingerprint import fingerprint_values
class Colour(enum.Enum): RED = 1
print(fingerprint_values(
    words={"a", "b", "c", ("d", 1)}, path=Path("x"), colour=Colour.RED, dtype=torch.float16,
    array=np.arange(5000.0), tensor=torch.arange(5000.0)))
"""
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 32


def test_hashing_texts_and_numbers_imports_no_heavy_library() -> None:
    program = (
        "import sys; from privaudit.fingerprint import fingerprint_values\n"
        "fingerprint_values(x={'a': {1, 2}, 'b': b'c'})\n"
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )


def test_a_module_is_known_by_each_of_its_weights_packed_ones_too() -> None:
    def quantised(change: float) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(64, 64))
        with torch.no_grad():
            model[0].weight[32, 32] += change
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear})

    assert fingerprint_module(quantised(0)) == fingerprint_module(quantised(0))
    assert fingerprint_module(quantised(0)) != fingerprint_module(quantised(0.5))


def test_weights_that_are_offloaded_are_an_error() -> None:
    model = torch.nn.Linear(2, 2, device="meta")
    with pytest.raises(FingerprintError, match=r"Linear.bias has no values here: .* offloaded"):
        fingerprint_module(model)
