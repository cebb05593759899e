"""What is settled by the device's class, and that nothing is by which processor or compiler there is."""

import pytest
import torch

from gc2l.training import Execution

LONG, SHORT = 1_000_000, 1_000


@pytest.fixture
def machine(monkeypatch):
    """Give this machine other parts."""

    def make(*, cuda=False, gpu_has_bfloat16=True, mps=False, amx=False, compilers=("gcc", "g++", "clang++")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: gpu_has_bfloat16)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "GPU of the test")
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr("shutil.which", lambda name: name if name in compilers else None)
        for variable in ("CC", "CXX"):
            monkeypatch.delenv(variable, raising=False)

    return make


def choices(images=LONG, **asked):
    resolved = Execution(**asked).resolve(images)
    return resolved.device, resolved.precision, resolved.compile


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("compilers", [(), ("gcc", "g++", "clang++")])
@pytest.mark.parametrize("images", [SHORT, LONG])
def test_on_a_cpu_float32_not_compiled_whatever_cpu_and_compiler(machine, amx, compilers, images):
    machine(amx=amx, compilers=compilers)
    assert choices(images) == choices(images, device="cpu") == ("cpu", "float32", False)


def test_on_a_gpu_bfloat16_and_long_runs_are_compiled(machine):
    machine(cuda=True)
    assert choices(LONG) == ("cuda", "bfloat16", True)
    assert choices(SHORT) == ("cuda", "bfloat16", False)
    assert choices(LONG, device="cpu") == ("cpu", "float32", False)


def test_on_an_apple_gpu_float32_not_compiled(machine):
    machine(mps=True)
    assert choices(LONG) == ("mps", "float32", False)


def test_a_gpu_without_bfloat16_is_refused_with_the_remedy_unless_the_precision_is_chosen(machine):
    machine(cuda=True, gpu_has_bfloat16=False)
    with pytest.raises(
        ValueError, match=r"GPU of the test has none; choose --execution\.precision float32, or bfloat16"
    ):
        choices()
    for precision in ("float32", "bfloat16"):
        assert choices(precision=precision) == ("cuda", precision, True)
    assert choices(device="cpu") == ("cpu", "float32", False)


def test_graphs_on_gpus_unless_compiled_or_asked_for(machine):
    machine(cuda=True)
    assert Execution().resolve(SHORT).cuda_graphs and not Execution().resolve(LONG).cuda_graphs
    assert Execution(cuda_graphs=True).resolve(LONG).cuda_graphs
    assert not Execution(cuda_graphs=False).resolve(SHORT).cuda_graphs
    assert not Execution(device="cpu").resolve(SHORT).cuda_graphs
    machine()
    assert not Execution().resolve(SHORT).cuda_graphs
    with pytest.raises(ValueError, match=r"execution\.cuda_graphs=True needs a CUDA GPU, .* 'cpu'; leave it out"):
        Execution(cuda_graphs=True).resolve(SHORT)


@pytest.mark.parametrize("cuda", [False, True])
def test_what_is_asked_for_is_done(machine, cuda):
    machine(cuda=cuda)
    device = "cuda" if cuda else "cpu"
    for precision in ("float32", "bfloat16"):
        for compiled in (False, True):
            assert choices(SHORT, precision=precision, compile=compiled) == (device, precision, compiled)
    resolved = Execution(channels_last=False, threads=3).resolve(SHORT)
    assert (resolved.channels_last, resolved.threads) == (False, 3)


@pytest.mark.parametrize(
    ("cuda", "platform", "missing"),
    [(True, "linux", "gcc or clang"), (False, "linux", "g++"), (False, "darwin", "clang++")],
)
def test_compiling_without_a_compiler_is_refused_with_the_remedy(machine, monkeypatch, cuda, platform, missing):
    machine(cuda=cuda, compilers=())
    monkeypatch.setattr("sys.platform", platform)
    with pytest.raises(ValueError, match=r"and .* is not installed; .* --execution\.compile False") as caught:
        choices(compile=True)
    assert f"and {missing} is not" in str(caught.value)
    assert choices(compile=False)[2] is False
    monkeypatch.setenv("CC", "ccache mycc")
    monkeypatch.setenv("CXX", "ccache mycc")
    monkeypatch.setattr("shutil.which", lambda name: name if name == "ccache" else None)
    assert choices(compile=True)[2] is True


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_are_torchs_own_by_default(machine, monkeypatch, threads):
    machine()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert Execution().resolve(SHORT).threads == threads


def test_wrong_values_are_refused(machine):
    machine()
    with pytest.raises(ValueError, match=r"execution.device='cuda' is not available .* cpu"):
        Execution(device="cuda").resolve(1)
    with pytest.raises(ValueError, match=r"execution.threads=0"):
        Execution(threads=0).resolve(1)
