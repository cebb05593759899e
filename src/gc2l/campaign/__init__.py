"""Running cells: one, a grid or a sweep of them, and the command line they share.

Nothing is imported here, so that scripts which only read records do not import torch.
"""
