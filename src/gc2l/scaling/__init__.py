"""Measurements for Table 2, channel-parallel training: the work of one rank, counted, and its time."""

from gc2l.scaling.measure import JointRun, Plan, measure_scaling
from gc2l.scaling.wire import count_wire
from gc2l.scaling.work import Network, count_work

__all__ = ["JointRun", "Network", "Plan", "count_wire", "count_work", "measure_scaling"]
