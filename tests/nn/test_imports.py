import subprocess

SCRIPT = """
import sys
import torch

LOADED = {name.partition(".")[0] for name in sys.modules}
ALLOWED = {"gc2l", *sys.stdlib_module_names, *LOADED} - {"torchvision"}

class OnlyTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, OnlyTorch())
import gc2l.nn

layer = gc2l.nn.make_conv("gc2l", 4, 4, 3, groups=2)
print(tuple(layer(torch.zeros(1, 4, 5, 5)).shape))
try:
    import torchvision
except ModuleNotFoundError:
    print("no torchvision")
"""


def test_the_layers_need_torch_alone(torch_python):
    done = subprocess.run([str(torch_python), "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split("\n")[:2]) == (0, ["(1, 4, 3, 3)", "no torchvision"]), done.stderr
