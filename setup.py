"""The compiled part of the package; everything else is declared in pyproject.toml.

The extensions are optional: where there is no C compiler the installation goes on without them, NumPy
counts the same numbers more slowly, and Pillow reads the mask images.
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
            extra_compile_args=["/O2"]
            if sys.platform == "win32"
            else ["-std=c11", "-O3", "-fno-tree-slp-vectorize", "-fno-tree-loop-distribute-patterns"],
            optional=True,
        ),
        *(
            Extension(
                f"benchmark._{name}",
                sources=[f"benchmark/{name}.c"],
                depends=["benchmark/inflate.h"],
                define_macros=[("Py_LIMITED_API", "0x030B0000")],
                py_limited_api=True,
                extra_compile_args=["/O2"] if sys.platform == "win32" else ["-std=c11", "-O3"],
                optional=True,
            )
            for name in ("png_rows", "run_texts")
        ),
    ],
)
