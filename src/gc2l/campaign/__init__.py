"""Running cells: one, a grid or a sweep of them, and the command line they share.

Nothing that needs an extra is imported here: scripts that only read records do not import torch, and a script that
imports `gc2l.campaign.script` first names the extra that it lacks.
"""

import sys

from gc2l.campaign.extras import report_missing

sys.excepthook = report_missing
