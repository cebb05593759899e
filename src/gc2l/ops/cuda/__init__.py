"""Kernels in Triton for CUDA cards of compute capability 8.0 and more: grouped convolution, and folding.

    on_card          the way "triton" of `gc2l.ops.functional`
    grouped, dense   what it and `gc2l.ops.folded` call: shapes served, autograd, the framework's way where one fails
    operators        the same as operators of PyTorch, for `torch.compile`
    serve, guard     where the kernels can be used; GC2L_CHECK=1
    blocks           how narrow groups are merged
    launch           what is launched for a layer, on which tiles (`tuning`)
    convolution, weight_gradient, packing, coarse, folding
                     the kernels
    resources        what they need of a card, by compiling them

Tests run the kernels in Triton's interpreter and compile them for capability 9.0. No card has run them: nothing is
known about their speed, and "auto" does not take the way "triton" before `results/bench` has its times; where it
folds, it folds by these kernels. The modules from `launch` on need Triton; no other imports it before it is wanted.
"""
