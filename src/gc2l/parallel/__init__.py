"""Channel-parallel execution (paper section 3.2): each of p ranks keeps its share of every layer's channels.

The parallel form stands beside the model: `parallelize` replaces the layers of a network of `gc2l.models` by those of
this rank, `consolidate` gives the state of the whole network back. Communication is `torch.distributed`'s, gloo on
CPUs and NCCL on GPUs.

In addition to the shapes of `gc2l.nn`: p is the number of channel ranks, j the number of this one. Rank j holds the
channels j c/p to (j + 1) c/p - 1 of an activation with c channels; "own" means these, and what produces them.
"""

from gc2l.parallel.checkpoint import check_sharded, load_sharded, read_progress, save_sharded
from gc2l.parallel.data_parallel import average_buffers, average_gradients
from gc2l.parallel.job import Job, Parallel, join_job
from gc2l.parallel.layer_split import layer_parts, layer_split_gradients, split_layers
from gc2l.parallel.link import RankError, name_failed_collective
from gc2l.parallel.mesh import check_same_on_all_ranks, make_mesh
from gc2l.parallel.parallelize import parallel_variants, parallelize, rank_share
from gc2l.parallel.state import consolidate, distribute, placements
from gc2l.parallel.traffic import layer_shapes, record_traffic
from gc2l.parallel.wire import LayerShape, Traffic, layer_traffic, network_traffic

__all__ = [
    "Job",
    "LayerShape",
    "Parallel",
    "RankError",
    "Traffic",
    "average_buffers",
    "average_gradients",
    "check_same_on_all_ranks",
    "check_sharded",
    "consolidate",
    "distribute",
    "join_job",
    "layer_parts",
    "layer_shapes",
    "layer_split_gradients",
    "layer_traffic",
    "load_sharded",
    "make_mesh",
    "name_failed_collective",
    "network_traffic",
    "parallel_variants",
    "parallelize",
    "placements",
    "rank_share",
    "read_progress",
    "record_traffic",
    "save_sharded",
    "split_layers",
]
