import gc2l.training  # noqa: F401  before a test file imports Lightning, which imports torchvision
