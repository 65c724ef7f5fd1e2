"""What a stretch of work costs this process: wall time, GPU-seconds, memory at its highest.

Work on a GPU goes on after the call that began it has returned, so the clock is read only when every GPU in
use has finished. A GPU is in use when tensors of this process lie on it; a GPU-second is one second of one
such GPU, idle or not, since nobody else can have it meanwhile. torch is asked only where it has been loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent.

    Attributes:
        seconds: wall time; `None` where that of this process is no fact about the model.
        gpu_seconds: wall time times GPUs in use; `None` without one.
        peak_memory_bytes: memory at its highest, of the GPUs or, without one, of this process since it
            began; `None` on systems that do not tell.
        peak_gpu_memory_bytes: memory of tensors on the GPUs at its highest; `None` without one.
    """

    seconds: float | None
    gpu_seconds: float | None
    peak_memory_bytes: int | None
    peak_gpu_memory_bytes: int | None

    def share(self, queries: int) -> Spent:
        """What each of several queries spent that were answered together; memory was held for all."""
        seconds, gpu_seconds = (
            None if one is None else one / queries for one in (self.seconds, self.gpu_seconds)
        )
        return Spent(seconds, gpu_seconds, self.peak_memory_bytes, self.peak_gpu_memory_bytes)


class Stopwatch:
    """Runs from its making on; one at a time, since it resets what torch counts."""

    def __init__(self) -> None:
        if (cuda := _cuda()) is not None:
            _synchronise(cuda)
            for number in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(number)
        self._started = time.perf_counter()

    def read(self) -> Spent:
        """What was spent so far."""
        cuda = _cuda()
        if cuda is not None:
            _synchronise(cuda)
        seconds = time.perf_counter() - self._started
        peaks = [] if cuda is None else [cuda.max_memory_allocated(one) for one in range(cuda.device_count())]
        in_use = sum(peak > 0 for peak in peaks)
        if not in_use:
            return Spent(seconds, None, _peak_of_process(), None)
        return Spent(seconds, seconds * in_use, int(sum(peaks)), int(sum(peaks)))


def gpu_fault() -> str | None:
    """What a GPU in use says that does not answer any more; `None` while all is well.

    After an error in a kernel (an index outside a tensor) every later call fails until the process ends.
    """
    if (cuda := _cuda()) is None:
        return None
    try:
        _synchronise(cuda)
    except RuntimeError as error:
        return str(error).strip().partition("\n")[0]
    return None


def _cuda() -> Any:
    """`torch.cuda` if this process has begun to use it, else `None`."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _synchronise(cuda: Any) -> None:
    for number in range(cuda.device_count()):
        # Asked of a GPU that is not in use, it would take memory there.
        if cuda.memory_allocated(number) > 0:
            cuda.synchronize(number)


def _peak_of_process() -> int | None:
    if importlib.util.find_spec("resource") is None:  # Windows
        return None
    resource = importlib.import_module("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
