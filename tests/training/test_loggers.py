import logging
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger
from small_run import cell, execution
from wandb.errors import UsageError

from gc2l.training import loggers
from gc2l.training.loggers import close_loggers, make_loggers, wandb_mode


@pytest.fixture(autouse=True)
def no_configured_key(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_without_a_key_runs_are_logged_offline():
    assert wandb_mode("auto") == "offline"


def test_a_key_in_the_environment_or_in_netrc_means_online(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "0" * 40)
    assert wandb_mode("auto") == "online"
    (tmp_path / "netrc").write_text("machine example.org login user password secret")
    assert wandb_mode("auto") == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_mode("auto") == "online"


def test_the_environment_and_the_flag_decide_first(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_mode("auto") == "offline"
    assert wandb_mode("disabled") == "disabled"


def test_logging_online_without_a_key_is_refused(tmp_path, monkeypatch):
    """What W&B raises without a key, where it does not ask for one."""

    class WithoutKey:
        def __init__(self, **settings):
            assert settings["mode"] == "online"

        @property
        def experiment(self):
            raise UsageError("No API key configured.")

    monkeypatch.setattr(loggers, "WandbLogger", WithoutKey)
    with pytest.raises(ValueError, match=r"^W&B cannot log online: No API key .* --execution.wandb offline$"):
        make_loggers(cell(), execution(tmp_path, wandb="online"))


def test_offline_runs_say_one_line_each(tmp_path, capfd):
    for seed in (1, 2):
        own = replace(cell(), seed=seed)
        made = make_loggers(own, execution(tmp_path, wandb="auto"))
        made[1].log_metrics({"loss": 1.0}, step=1)
        close_loggers(made, "finished")
        told = [line for line in capfd.readouterr().err.splitlines() if "anonymous setting" not in line]
        assert len(told) == 1
        assert re.fullmatch(
            rf"W&B: logged offline; to upload: wandb sync {tmp_path}/wandb/wandb/offline-run-\S+", told[0]
        )
        assert (Path(told[0].rpartition(" ")[2]) / "files").is_dir()
        assert "WANDB_MODE" not in os.environ  # it would decide over the next run of this process


def test_a_missing_wandb_disables_it_with_one_line(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        made = make_loggers(cell(), execution(tmp_path, wandb="auto"))
    assert [type(logger) for logger in made] == [CSVLogger]
    assert [record.getMessage() for record in caplog.records] == [
        "wandb is not installed: this run is logged to CSV only"
    ]
