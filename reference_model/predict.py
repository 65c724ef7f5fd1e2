"""Ask a ReVIOSa model who acts and who is acted on, in a folder of frames or a video file.

Writes the clip with the actor in blue and the target in red, as a PNG strip or an mp4, and prints what
the model said.

    python -m reference_model.predict --video frames/ --expression "red disc pushing blue square"
    python -m reference_model.predict --video clip.mp4 --expression "disc circling square" --output out.mp4
    python -m reference_model.predict --video clip.mp4 --expression "blue disc" --output out.png \\
        --checkpoint runs/tiny
    python -m reference_model.predict --video clip.mp4 --expression "child handing cup to woman" \\
        --checkpoint converted/reviosa-1b --mode official
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.command_line import parser, run_command
from benchmark.errors import UsageError
from benchmark.frames import FrameSequence, open_frames
from reference_model.environment import enough_memory
from reference_model.inference_options import InferenceMode
from reference_model.predictor import Answer, Predictor, QuestionTooLong, load_predictor

__all__ = ["Answer", "Predictor", "load_predictor"]


def build_parser() -> Any:
    """The command line."""
    command = parser("reference_model.predict", __doc__)
    command.add_argument("--video", type=Path, required=True, help="folder of frames, or a video file")
    command.add_argument("--expression", required=True, help="the sentence to look for")
    command.add_argument(
        "--output",
        type=Path,
        default=Path("overlay.png"),
        help="picture to write: .png or .mp4 (default: overlay.png)",
    )
    command.add_argument("--checkpoint", type=Path, help="folder of a model (default: the shipped one)")
    command.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    command.add_argument(
        "--mode",
        default=InferenceMode.DEFAULT,
        help="default: what we recommend; official: the released pipeline, step by step",
    )
    command.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change one option of the mode (reference_model/README.md lists them)",
    )
    command.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: auto)")
    command.add_argument(
        "--sam2-backend", default="transformers", help="transformers or sam2 (default: transformers)"
    )
    return command


def ask(predictor: Predictor, frames: FrameSequence, expression: str) -> Answer:
    """The answer to one expression.

    Raises:
        UsageError: when the question is too long.
    """
    try:
        predictor.open_video(frames)
        (answer,) = predictor.answer([expression])
    except QuestionTooLong as error:
        fix = "shorten the expression, or let it be cut: --set cut-questions=true"
        raise UsageError(str(error), where="--expression", fix=fix) from error
    finally:
        predictor.close_video()
    return answer


@enough_memory(
    "encode and keep fewer frames at once (--set encode-chunk=1 --set features-kept=1), use "
    "--precision bfloat16, or --device cpu"
)
def main(arguments: Sequence[str]) -> int:
    """Predict one expression and write the overlay."""
    from reference_model.overlay import check_output, frames_with_mask, write_overlay

    options = build_parser().parse_args(arguments)
    if not options.expression.strip():
        raise UsageError("there is no sentence to look for", where="--expression", found="no word")
    check_output(options.output)
    frames = open_frames(options.video)
    predictor = load_predictor(
        options.checkpoint,
        options.device,
        options.mode,
        options.changes,
        options.precision,
        options.sam2_backend,
    )
    answer = ask(predictor, frames, options.expression)
    write_overlay(options.output, frames, answer.actor, answer.target)
    print(f"the model says: {answer.text}")
    for role, track in (("actor", answer.actor), ("target", answer.target)):
        seen = f"seen in {frames_with_mask(track)} of {len(frames)} frames" if track is not None else ""
        print(f"{role}: {seen or 'not claimed'}")
    print(options.output)
    return 0


if __name__ == "__main__":
    run_command(main)
