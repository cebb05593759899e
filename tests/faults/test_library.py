"""The C libraries under AddressSanitizer and UndefinedBehaviorSanitizer: right or refused, and no byte too far."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FLAGS = ["-O0", "-g1", "-march=x86-64-v4", "-fopenmp", "-fPIC", "-shared"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
SOURCES = {
    "cpu": ["ops/cpu/bfloat16.c", "ops/cpu/float32.c", "ops/cpu/library.c"],
    "edge": ["edge/grouped.c"],
}


class Driver:
    """The process of sanitized.py; a new one when a sanitizer has ended it."""

    def __init__(self, libraries: list[Path], runtimes: str, folder: Path) -> None:
        self.command = [sys.executable, str(Path(__file__).with_name("sanitized.py")), *map(str, libraries)]
        self.environment = os.environ | {
            "LD_PRELOAD": runtimes, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        self.report = folder / "report.txt"
        self.process: subprocess.Popen | None = None

    def ask(self, kind: str, rng: random.Random) -> str:
        if self.process is None or self.process.poll() is not None:
            with self.report.open("w") as report:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=report,
                    env=self.environment, text=True,
                )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{kind} {rng.random()}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.end()
            return self.report.read_text()[:3000]
        return answer

    def end(self) -> None:
        if self.process is not None:
            self.process.communicate()  # its input ends, and so it does


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    if shutil.which("gcc") is None or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        pytest.skip("the C libraries under sanitizers: this machine has no gcc, or no AVX-512")
    folder = tmp_path_factory.mktemp("sanitized")
    for name, sources in SOURCES.items():
        files = [str(ROOT / "src" / "gc2l" / source) for source in sources]
        header = str(Path(__file__).with_name("checked.h"))
        command = ["gcc", *FLAGS, *SANITIZERS, "-include", header, *files, "-o", str(folder / f"{name}.so")]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"the C libraries under sanitizers: this gcc has none: {made.stderr[-300:]}")
    found = [
        subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    running = Driver([folder / f"{name}.so" for name in SOURCES], ":".join(found), folder)
    yield running
    running.end()


KINDS = {
    "layers": ("layers of any size, empty, misaligned", 6, 1000),
    "functions": ("every function, misaligned", 6, 1000),
    "inference": ("layers compiled for inference", 6, 1000),
    "several_threads": ("three threads at once", 2, 300),
    "fork_after_use": ("a process forked after use", 2, 100),
    "signal_during_a_kernel": ("signals during kernels", 2, 100),
}


def test_the_c_libraries(driver, trials):
    failures = []
    for kind, (fault, short, long) in KINDS.items():

        def trial(rng, kind=kind):
            answer = driver.ask(kind, rng)
            assert answer == "held", answer

        try:
            trials.run(f"C, ASan and UBSan, {fault}: right or refused", trial, short=short, long=long)
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join(failures)
    assert "heap-buffer-overflow" in driver.ask("beyond_the_end", random.Random(0))
