"""What was measured: one JSON file per training run. Nothing here imports torch; nothing else touches results/."""

from gc2l.records.assemble import make_record
from gc2l.records.environment import Environment, describe_environment
from gc2l.records.files import write_atomically
from gc2l.records.interval import CONFIDENCE, Interval, wilson_interval
from gc2l.records.schema import Epoch, Execution, Hardware, Record, Score
from gc2l.records.store import RunStore, read_record
from gc2l.records.weights import WEIGHTS_LIMIT_BYTES, WeightsFolder

__all__ = [
    "CONFIDENCE",
    "WEIGHTS_LIMIT_BYTES",
    "Environment",
    "Epoch",
    "Execution",
    "Hardware",
    "Interval",
    "Record",
    "RunStore",
    "Score",
    "WeightsFolder",
    "describe_environment",
    "make_record",
    "read_record",
    "wilson_interval",
    "write_atomically",
]
