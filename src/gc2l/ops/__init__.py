"""The convolutions as pure functions of their input and weights: `reference`, and faster ways that a test ties to it.

    reference        the equations as they stand
    functional       `group_conv` and `two_level_conv`, computed in a way that is given
    choose           which way is the fastest: a table of measured rules
    folded, fused, dense_restriction, coarse_products, matrix_products, one_kernel, channel_shuffle, two_steps
                     one way each
    cpu/             the C library, and the same functions by the framework
    cuda/            kernels in Triton: the way "triton", and folding

Nothing here knows a module. Where PyTorch differentiates a formula itself there is no more than the formula; the
other ways are a forward and a backward pass, which `autograd` makes one function.
"""
