"""What was measured: one JSON file per training run. Nothing here imports torch; nothing else writes them."""

from gc2l.files import write_atomically
from gc2l.records.coarse_level import CoarseLayer, CoarseLevelRecord, CoarseNetwork, read_coarse_level
from gc2l.records.conversion import ConversionRecord, read_conversion
from gc2l.records.environment import Environment, describe_environment
from gc2l.records.inference import InferenceRecord, InferenceTime, Refusal, read_inference
from gc2l.records.interval import CONFIDENCE, Interval, wilson_interval
from gc2l.records.measurement import Measurement, save_measurement
from gc2l.records.scaling import LinkTime, RanksTime, ScalingRecord, ShareTime, Split, Timing, Work, read_scaling
from gc2l.records.schema import Assignment, Epoch, Execution, Hardware, Parallelism, Rank, Record, Score
from gc2l.records.store import RunStore, read_record
from gc2l.records.trials import Trials, TrialsRecord, keep_trials, read_trials
from gc2l.records.weights import WEIGHTS_LIMIT_BYTES, WeightsFolder, read_final_weights
from gc2l.records.wire import WireCount, WireRecord, read_wire

__all__ = [
    "CONFIDENCE",
    "WEIGHTS_LIMIT_BYTES",
    "Assignment",
    "CoarseLayer",
    "CoarseLevelRecord",
    "CoarseNetwork",
    "ConversionRecord",
    "Environment",
    "Epoch",
    "Execution",
    "Hardware",
    "InferenceRecord",
    "InferenceTime",
    "Interval",
    "LinkTime",
    "Measurement",
    "Parallelism",
    "Rank",
    "RanksTime",
    "Record",
    "Refusal",
    "RunStore",
    "ScalingRecord",
    "Score",
    "ShareTime",
    "Split",
    "Timing",
    "Trials",
    "TrialsRecord",
    "WeightsFolder",
    "WireCount",
    "WireRecord",
    "Work",
    "describe_environment",
    "keep_trials",
    "read_coarse_level",
    "read_conversion",
    "read_final_weights",
    "read_inference",
    "read_record",
    "read_scaling",
    "read_trials",
    "read_wire",
    "save_measurement",
    "wilson_interval",
    "write_atomically",
]
