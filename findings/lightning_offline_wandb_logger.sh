#!/usr/bin/env bash
# pytorch-lightning 2.6.6 with wandb 0.31.0 (Python 3.11): a WandbLogger(offline=True) sets $WANDB_MODE for the whole
# process and leaves it so. Every later WandbLogger of the process is then offline, too, without a word, although
# offline=False was asked for: its run is not uploaded. Seen:
#
#     before      WANDB_MODE None
#     after       WANDB_MODE 'dryrun'
#     second run  asked for online, is offline: True
#
# Exits with 0 as long as that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 pytorch-lightning==2.6.6 wandb==0.31.0
cd "$folder"
unset WANDB_MODE WANDB_API_KEY
cat > loggers.py <<'PROGRAM'
import os, sys

from pytorch_lightning.loggers import WandbLogger

before = os.environ.get("WANDB_MODE")
first = WandbLogger(project="p", save_dir=".", offline=True)
first.experiment.finish()
after = os.environ.get("WANDB_MODE")
second = WandbLogger(project="p", save_dir=".", offline=False)
run = second.experiment
offline = run.settings.mode in ("offline", "dryrun") and "offline-run" in run.dir
run.finish()
print("before      WANDB_MODE", repr(before))
print("after       WANDB_MODE", repr(after))
print("second run  asked for online, is offline:", offline)
sys.exit(int((before, after, offline) != (None, "dryrun", True)))
PROGRAM
WANDB_SILENT=true "$folder/venv/bin/python" loggers.py
