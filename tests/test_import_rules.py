"""The direction of data, enforced on the syntax tree: who may import whom.

Inside `benchmark` a module may import only modules of an earlier step of `CHAIN`, or of its own step.
Imports inside functions count too, except the one place that finds adapters by name at run time.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmark", "adapters", "reference_model", "submissions", "leaderboards")

# dataset -> protocol -> adapter -> predictions -> metrics -> aggregate -> statistics -> result -> commands
CHAIN: tuple[tuple[str, ...], ...] = (
    ("benchmark.errors", "benchmark.interruption", "benchmark.types"),
    ("benchmark.command_line", "benchmark.stored_files", "benchmark.json_records"),
    ("benchmark.run_lengths", "benchmark.mask_batches", "benchmark.masks", "benchmark.png_masks"),
    ("benchmark.frames",),
    ("benchmark.datasets",),
    ("benchmark.protocol", "benchmark.protocols"),
    (
        "benchmark.adapter",
        "benchmark.adapter_doctor",
        "benchmark.adapter_options",
        "benchmark.probe_questions",
        "benchmark.selection",
        "benchmark.worker_masks",
        "benchmark.worker_process",
    ),
    (
        "benchmark.predictions",
        "benchmark.official_predictions",
        "benchmark.png_predictions",
        "benchmark.coco_predictions",
        "benchmark.prediction_layouts",
        "benchmark.prediction_files",
        "benchmark.prediction_folder",
        "benchmark.prediction_records",
        "benchmark.prediction_writer",
    ),
    (
        "benchmark.inference",
        "benchmark.adapter_output",
        "benchmark.answer_channel",
        "benchmark.answer_contract",
        "benchmark.devices",
        "benchmark.query_cost",
        "benchmark.query_failures",
        "benchmark.ranks",
        "benchmark.truth_channel",
    ),
    ("benchmark.metrics",),
    ("benchmark.aggregate", "benchmark.breakdowns", "benchmark.role_errors"),
    ("benchmark.statistics", "benchmark.rankings"),
    ("benchmark.provenance",),
    (
        "benchmark.results",
        "benchmark.result_files",
        "benchmark.summaries",
        "benchmark.tables",
        "benchmark.comparison",
    ),
    ("benchmark.scoring",),
    (
        "benchmark.score",
        "benchmark.compare",
        "benchmark.overlays",
        "benchmark.probe_files",
        "benchmark.probe_scores",
        "benchmark.probes",
    ),
    ("benchmark.evaluate", "benchmark.evaluation_choices", "benchmark.merge", "benchmark.worker"),
)

BORDERS: dict[str, tuple[str, ...]] = {
    "adapters": (
        "benchmark.types",
        "benchmark.adapter",
        "benchmark.errors",
        "benchmark.frames",
        "benchmark.masks",
        # What several adapters are made of. An adapter never imports another one.
        "adapters.parts",
    ),
    "reference_model": (
        "benchmark.types",
        "benchmark.errors",
        "benchmark.command_line",
        "benchmark.datasets",
        "benchmark.frames",
        "benchmark.masks",
        "benchmark.stored_files",
        "benchmark.provenance",
        "reference_model",
    ),
    "submissions": (
        "benchmark.types",
        "benchmark.errors",
        "benchmark.command_line",
        "benchmark.stored_files",
        "benchmark.json_records",
        "benchmark.mask_batches",
        "benchmark.provenance",
        "benchmark.masks",
        "benchmark.png_masks",
        "benchmark.datasets",
        "benchmark.protocol",
        "benchmark.predictions",
        "benchmark.results",
        "benchmark.result_files",
        "benchmark.comparison",
        "benchmark.score",
        "submissions",
    ),
    "leaderboards": (
        "benchmark.types",
        "benchmark.errors",
        "benchmark.command_line",
        "benchmark.stored_files",
        "benchmark.json_records",
        "benchmark.masks",
        "benchmark.results",
        "benchmark.result_files",
        "benchmark.comparison",
        "benchmark.statistics",
        "benchmark.rankings",
        "benchmark.protocol",
        "submissions.receipt",
        "benchmark.datasets",
        "benchmark.frames",
        "benchmark.metrics.scores",
        "submissions.entries",
        "submissions.model_card",
        "submissions.published_masks",
        "leaderboards",
    ),
}

EXTRA: dict[str, tuple[str, ...]] = {
    "adapters.reviosa": ("reference_model",),
    "adapters.__main__": (
        "benchmark.adapter_doctor",
        "benchmark.adapter_options",
        "benchmark.command_line",
    ),
    "adapters.openai_compatible": ("benchmark.stored_files",),
    "adapters.parts.answer_cache": ("benchmark.stored_files",),
    "adapters.external": ("benchmark.worker_masks", "benchmark.worker_process"),
    "reference_model.validate": ("benchmark.protocol", "benchmark.metrics", "benchmark.aggregate"),
}

TORCH_FREE = ("benchmark", "submissions", "leaderboards")
# Masks that are on a GPU are counted there: these import torch, inside functions (see the test below).
DEVICE_MODULES = (
    "benchmark.metrics.device_clips",
    "benchmark.metrics.device_engine",
    "benchmark.metrics.device_launches",
    "benchmark.metrics.device_plans",
    "benchmark.metrics.device_texts",
    "benchmark.metrics.packed_tensors",
    "benchmark.metrics.track_scoring",
    "benchmark.metrics.running_scores",
)
MODEL_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "peft", "accelerate")


def modules() -> list[str]:
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def source_of(module: str) -> ast.Module:
    path = ROOT / Path(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(module: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(source_of(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} uses a relative import"
            assert node.module is not None
            yield node.module, node.lineno
            # `from package import module` names a module too.
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                if (ROOT / Path(*dotted.split("."))).with_suffix(".py").is_file():
                    yield dotted, node.lineno


def is_under(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def step_of(module: str) -> int | None:
    """The step of the longest entry that holds the module; `benchmark` itself has none."""
    matches = [
        (len(entry), index)
        for index, step in enumerate(CHAIN)
        for entry in step
        if is_under(module, (entry,))
    ]
    return max(matches)[1] if matches else None


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("benchmark.")])
def test_benchmark_imports_point_backwards(module: str) -> None:
    step = step_of(module)
    assert step is not None, f"{module} has no place in the chain of tests/test_import_rules.py: give it one"
    for name, line in imported(module):
        if not is_under(name, FOLDERS) or name == "benchmark":
            continue
        assert name.startswith("benchmark"), f"{module}:{line} imports {name}"
        other = step_of(name)
        assert other is not None, f"{module}:{line} imports {name}, which has no place in the chain"
        assert other <= step, f"{module}:{line} imports {name}, which comes later in the chain"


@pytest.mark.parametrize("module", [name for name in modules() if not name.startswith("benchmark")])
def test_outer_folders_keep_to_the_border(module: str) -> None:
    folder = module.split(".")[0]
    allowed = BORDERS[folder] + EXTRA.get(module, ())
    for name, line in imported(module):
        if is_under(name, FOLDERS):
            assert is_under(name, allowed), f"{module}:{line} imports {name}; allowed: {', '.join(allowed)}"


@pytest.mark.parametrize("module", [name for name in modules() if name.split(".")[0] in TORCH_FREE])
def test_scoring_and_pages_never_import_model_packages(module: str) -> None:
    for name, line in imported(module):
        if module in DEVICE_MODULES and is_under(name, ("torch",)):
            continue
        assert not is_under(name, MODEL_PACKAGES), f"{module}:{line} imports {name}"


def test_the_metrics_work_without_torch_and_triton() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['triton'] = None\n"
        "from benchmark.metrics import score_tracks\n"
        "print(score_tracks([b'04'], [b'04'], size=(2, 2)).jf_mean)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1.0\n"


def test_adapter_modules_import_no_model_package_at_the_top() -> None:
    """Listing adapters must be quick and must work without torch."""
    for module in modules():
        if not module.startswith("adapters"):
            continue
        for node in source_of(module).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not is_under(name, (*MODEL_PACKAGES, "reference_model")), f"{module} imports {name}"
