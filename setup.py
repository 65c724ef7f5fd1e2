"""The compiled part of the package; everything else is declared in pyproject.toml.

The extension is optional: where there is no C compiler the installation goes on without it, and the
NumPy engine counts the same numbers more slowly.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup

CORE = Path("benchmark/metrics/core")

setup(
    ext_modules=[
        Extension(
            "benchmark.metrics._core",
            sources=[str(path) for path in sorted(CORE.glob("*.c"))],
            depends=[str(path) for path in sorted(CORE.glob("*.h"))],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            extra_compile_args=["/O2"] if sys.platform == "win32" else ["-std=c11", "-O3"],
            optional=True,
        )
    ],
)
