#!/usr/bin/env bash
# jax 0.10.2 (Python 3.11, CPU): the weight gradient of a grouped convolution takes tens (2 groups) to hundreds (16
# groups) of times as long as that of the dense one, which has n times its multiplications. Output and input gradient do
# not, nor does the weight gradient of a depthwise one (64 groups here), or with a convolution for each group.
# (jax-ml/jax#13800 tells of a GPU, where it takes as long as the dense one.) Milliseconds seen on two busy cores, 64 to
# 64 channels, 3 x 3, 16 x 16 pixels:
#
#     groups  output  input gradient  weight gradient  the same, a convolution for each group
#          1     0.7             0.7              1.4                                     1.1
#          2     1.7             1.3             55.1                                     0.6
#          4     1.3             1.2            100.0                                     4.0
#         16     4.9             2.5            354.3                                     1.2
#         64     3.0             7.4              1.0                                     1.1
#
# Exits with 0 as long as the weight gradient with 16 groups takes more than 5 times as long as the dense one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PROGRAM'
import statistics
import time

import jax
import numpy as np
from jax import lax, numpy as jnp

random = np.random.default_rng(0)
x = random.standard_normal((4, 16, 16, 64), np.float32)
y_gradient = random.standard_normal((4, 16, 16, 64), np.float32)


def conv(x, weight, groups):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=layout, feature_group_count=groups)


def split(x, weight, groups):
    pairs = zip(jnp.split(x, groups, -1), jnp.split(weight, groups, -1), strict=True)
    return jnp.concatenate([conv(part, filters, 1) for part, filters in pairs], -1)


def milliseconds(function, *values):
    function(*values)[0].block_until_ready()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(*values)[0].block_until_ready()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


times = {}
print("groups  output  input gradient  weight gradient  the same, a convolution for each group")
for groups in (1, 2, 4, 16, 64):
    weight = random.standard_normal((3, 3, 64 // groups, 64), np.float32)
    forward = jax.jit(lambda x, w, n=groups: [conv(x, w, n)])
    by_x = jax.jit(lambda x, w, g, n=groups: jax.vjp(lambda x: conv(x, w, n), x)[1](g))
    by_weight = jax.jit(lambda x, w, g, n=groups: jax.vjp(lambda w: conv(x, w, n), w)[1](g))
    by_parts = jax.jit(lambda x, w, g, n=groups: jax.vjp(lambda w: split(x, w, n), w)[1](g))
    values = x, weight, y_gradient
    assert np.allclose(by_weight(*values)[0], by_parts(*values)[0], rtol=1e-3, atol=1e-3)
    found = milliseconds(forward, x, weight), *(milliseconds(f, *values) for f in (by_x, by_weight, by_parts))
    times[groups] = found[2]
    print(f"{groups:6}  {found[0]:6.1f}  {found[1]:14.1f}  {found[2]:15.1f}  {found[3]:38.1f}")
assert times[16] > 5 * times[1]
PROGRAM
