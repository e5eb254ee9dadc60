"""Resolve compute settings on this machine: device, precision, memory layout, threads."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch

from fer_cli.config import Compute
from fer_cli.errors import ResultsError


@dataclass(frozen=True)
class ResolvedCompute:
    """Compute settings as used on this machine."""

    device: str
    bf16: bool
    channels_last: bool
    threads: int

    @property
    def precision(self) -> str:
        """Lightning's name for the precision."""
        return "bf16-mixed" if self.bf16 else "32-true"

    def record(self) -> dict[str, Any]:
        """Return the machine record of a result."""
        name = torch.cuda.get_device_name() if self.device == "cuda" else platform.processor() or platform.machine()
        known = {"precision": "bf16" if self.bf16 else "fp32", "processor": name}
        return {**asdict(self), **known, "instructions": torch.backends.cpu.get_cpu_capability()}


def has_fast_bf16(device: str) -> bool:
    """Return whether the device has bf16 matrix units: AMX or AVX-512 BF16 on a CPU, Ampere or newer on a GPU.

    A CPU's units do not count where torch is limited to older instructions (``ATEN_CPU_CAPABILITY``).
    """
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    if not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def resolve_compute(compute: Compute) -> ResolvedCompute:
    """Return the resolved settings; raises ResultsError if a GPU is requested but not available."""
    cuda = torch.cuda.is_available()
    if compute.device == "cuda" and not cuda:
        raise ResultsError("--device cuda: no CUDA GPU is visible to PyTorch; use --device cpu")
    device = "cuda" if cuda and compute.device != "cpu" else "cpu"
    bf16 = compute.precision == "bf16" or (compute.precision == "auto" and has_fast_bf16(device))
    last = bf16 or device == "cuda" if compute.layout == "auto" else compute.layout == "channels-last"
    return ResolvedCompute(device, bf16, channels_last=last, threads=compute.threads)


def use_threads(compute: Compute) -> ResolvedCompute:
    """Return the resolved settings and let torch use as many threads."""
    resolved = resolve_compute(compute)
    torch.set_num_threads(resolved.threads)
    return resolved
