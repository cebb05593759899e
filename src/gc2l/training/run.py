"""Train one cell from its configuration to its record."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.trainer.states import TrainerStatus
from safetensors.torch import save
from torch import Tensor

from gc2l.cells import Cell
from gc2l.data import dataset_info, make_data_module
from gc2l.files import write_checked
from gc2l.models import build_model, count_parameters
from gc2l.parallel import Job, consolidate
from gc2l.records import Parallelism, Record, Score, describe_environment
from gc2l.training.allocator import keep_freed_memory
from gc2l.training.assignment import AssignmentMonitor
from gc2l.training.channel_parallel import OwnSigterm, StepTraffic, describe_ranks, prepare_ranks, ranks_of_trainer
from gc2l.training.checkpoints import (
    AtomicCheckpointIO,
    EpochCheckpoint,
    Made,
    checkpoint_folder,
    continued,
    newest_readable,
)
from gc2l.training.classifier import DivergedError, ImageClassifier
from gc2l.training.execution import Execution
from gc2l.training.loggers import Status, close_loggers, make_loggers
from gc2l.training.memory import advise_on_memory, peak_memory_bytes, reset_peak_memory
from gc2l.training.progress import Progress, ReportProgress

_PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}


def train(
    cell: Cell, execution: Execution, job: Job | None = None, *, on_progress: Callable[[Progress], None] | None = None
) -> Record:
    """Train `cell`, continuing from its newest checkpoint if an earlier session was stopped.

    The final weights stay in `weights_path(cell, execution)`, and the checkpoints where they are, until whoever keeps
    the outcome has it on disk and calls `remove_checkpoints`. Until then, another call returns the outcome again.

    Args:
        cell: what to train.
        execution: how to train it.
        job: the other ranks, if channels are divided between several; all of them call.
        on_progress: called now and then with how far the run is.

    Raises:
        ValueError: a group count that does not divide the network's channels, ranks that do not divide the groups or
            train different cells, a device that is not there, W&B without the key that it needs, or a checkpoint
            that was made on another kind of device, in another precision, on other images or with batches divided into
            another number of parts.
        RankError: another rank died, or did not answer in time.
        FileNotFoundError: the images are missing and cannot be downloaded.
        MemoryError: the memory does not suffice; the message names the batch size.
        KeyboardInterrupt: the run was stopped; the checkpoint of the last completed epoch is kept.
    """
    started = datetime.now(UTC)
    if job is not None:
        execution = prepare_ranks(cell, execution, job)
    resolved = execution.resolve(dataset_info(cell.data.name).train_rows * cell.training.epochs)
    # Before training: the code may be edited during a long run.
    environment = describe_environment(accelerator=torch.cuda.get_device_name() if resolved.device == "cuda" else None)
    data = make_data_module(
        cell.data, batch_size=cell.training.batch_size, seed=cell.seed, channels_last=resolved.channels_last
    )
    torch.manual_seed(cell.seed)
    network = build_model(cell.model, data.num_classes)
    parameters = count_parameters(network, groups=cell.model.groups)
    data.prepare_data()
    data.setup("fit")
    folder = checkpoint_folder(cell, execution, sharded=job is not None)
    made = Made(
        device=resolved.device,
        precision=resolved.precision,
        threads=resolved.threads,
        images=data.fingerprint,
        data_ranks=1 if job is None else job.data_ranks,
        commit=environment.commit,
        dirty=environment.dirty,
    )
    checkpoint = _newest(folder, cell.identity, job)
    if checkpoint is not None:
        made = continued(checkpoint, made)
        resolved = resolved.model_copy(update={"threads": made.threads})
    torch.set_num_threads(resolved.threads)
    if resolved.device == "cpu":
        keep_freed_memory()
    if resolved.channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = ImageClassifier(
        network,
        cell.training,
        seed=cell.seed,
        compile=resolved.compile,
        cuda_graphs=resolved.cuda_graphs,
        job=job,
    )
    leads = job is None or job.rank == 0
    traffic = StepTraffic()
    callbacks: list[pl.Callback] = [monitor := AssignmentMonitor(), EpochCheckpoint(folder, cell.identity, made)]
    if job is not None:
        callbacks += [traffic, OwnSigterm()]
    if on_progress is not None:
        callbacks.append(ReportProgress(on_progress, batch_size=cell.training.batch_size))
    # Under SLURM, Lightning would want as many processes as the job has tasks, and take signals of run_script.
    alone = {"devices": 1, "plugins": [AtomicCheckpointIO(), LightningEnvironment()]}
    trainer = pl.Trainer(
        accelerator={"cuda": "gpu"}.get(resolved.device, resolved.device),
        **(alone if job is None else ranks_of_trainer(job)),
        precision=_PRECISIONS[resolved.precision],  # type: ignore[arg-type]
        max_epochs=cell.training.epochs,
        callbacks=callbacks,
        logger=make_loggers(cell, execution) if leads else False,
        enable_progress_bar=execution.progress and sys.stdout.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,  # only epochs are logged; Lightning warns of epochs shorter than its default of 50
        benchmark=resolved.device == "cuda",
    )
    reset_peak_memory(resolved.device)
    with advise_on_memory(cell.training.batch_size, resolved.device):
        message = _fit(trainer, module, data, checkpoint)
    ranks = () if job is None else describe_ranks(network, traffic.counts, job, resolved.device)
    weights = network.state_dict() if job is None else consolidate(network, job.mesh)
    sha256 = save_weights(weights, weights_path(cell, execution)) if leads and message is None else None
    seconds = sum(point.seconds for point in module.curve)
    errors = module.test_errors if message is None else None
    return Record(
        preset=cell.preset,
        configuration=cell.configuration(),
        identity=cell.identity,
        seed=cell.seed,
        status="finished" if message is None else "diverged",
        **vars(environment) | {"dirty": made.dirty},
        execution=resolved.model_copy(update={"cuda_graphs": module.captured}),
        parallel=None if job is None else Parallelism(overlap=job.overlap, ranks=ranks),
        data_fingerprint=made.images,
        parameters=parameters.total,
        parameters_per_processor=parameters.per_processor,
        curve=tuple(module.curve),
        test=None if errors is None else Score.from_counts(errors, data.test_rows),
        message=message,
        weights_sha256=sha256,
        wall_seconds=module.wall_seconds,
        images_per_second=data.train_rows * len(module.curve) / seconds if seconds else 0.0,
        peak_memory_bytes=peak_memory_bytes(resolved.device),
        # A run that diverges in the test after an epoch has its count already, and not its point on the curve.
        assignment=tuple(monitor.results[: len(module.curve)]),
        started=started,
        finished=datetime.now(UTC),
    )


def weights_path(cell: Cell, execution: Execution) -> Path:
    """Where the final weights of `cell` are kept: in the scratch folder, by identity."""
    return execution.scratch / "weights" / f"{cell.slug}-{cell.identity}.safetensors"


def save_weights(weights: Mapping[str, Tensor], path: Path) -> str:
    """Write the state of a network as safetensors, with its SHA-256 beside it, which is returned."""
    content = save({name: value.contiguous().cpu() for name, value in weights.items()})
    write_checked(path, content)
    return hashlib.sha256(content).hexdigest()


def _fit(
    trainer: pl.Trainer, module: ImageClassifier, data: pl.LightningDataModule, checkpoint: Path | None
) -> str | None:
    """Train, and close the loggers; returns why the run diverged, None when it finished."""
    status: Status = "failed"
    try:
        trainer.fit(module, data, ckpt_path=checkpoint)
        status = "stopped" if trainer.state.status == TrainerStatus.INTERRUPTED else "finished"
    except DivergedError as error:
        status = "diverged"
        return str(error)
    except (KeyboardInterrupt, SystemExit):
        status = "stopped"  # Lightning turns Ctrl-C into sys.exit
    finally:
        close_loggers(trainer.loggers, status)
    if status == "stopped":
        raise KeyboardInterrupt
    return None


def _newest(folder: Path, identity: str, job: Job | None) -> Path | None:
    path = newest_readable(folder, identity) if job is None or job.rank == 0 else None
    return path if job is None else job.agree(path)
