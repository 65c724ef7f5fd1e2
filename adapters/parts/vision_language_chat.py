"""A vision-language model of transformers that looks at pictures and answers in words.

Any model of `AutoModelForImageTextToText` will do. Its processor is put together without the part for
videos: that part alone needs torchvision, and pictures are all that is asked about here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.parts.box_answers import Coordinates
from adapters.parts.box_questions import FRAME_LABEL
from adapters.parts.checkpoints import check_folder, count_weights
from benchmark.errors import AdapterError, CheckpointError

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

FAMILIES: Mapping[str, Coordinates] = {
    # Source: QwenLM/Qwen3-VL#1486 ("as Qwen2-VL"), #676 (Qwen2.5-VL: after the processor's resizing), #1741.
    "qwen2_vl": Coordinates.PER_THOUSAND,
    "qwen2_5_vl": Coordinates.PIXELS,
    "qwen3_vl": Coordinates.PER_THOUSAND,
    "qwen3_vl_moe": Coordinates.PER_THOUSAND,
    # Source: OpenGVLab/InternVL, internvl_chat/eval/refcoco/evaluate_grounding.py (commit 0355722).
    "internvl": Coordinates.PER_THOUSAND,
}
"""How the families known here write boxes, by transformers' `model_type`."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said.

    Attributes:
        text: without special tokens.
        sizes: of each picture, (height, width) as the model saw it.
    """

    text: str
    sizes: tuple[tuple[int, int], ...]


class PictureChat:
    """A vision-language model on a device.

    Args:
        name: a folder, or a name on the Hub.
        revision: commit, branch or tag of the Hub.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        CheckpointError: when it is no model that looks at pictures and answers in words.
    """

    def __init__(self, name: str, revision: str | None, device: str) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForImageTextToText

        check_folder(name)
        config = AutoConfig.from_pretrained(name, revision=revision)
        self._processor = _processor(name, revision, config)
        self.family = str(config.model_type)
        # Half precision is what these weights were published in; on a CPU it would only be slower.
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model = AutoModelForImageTextToText.from_pretrained(name, revision=revision, dtype=dtype)
        self.model = model.eval().to(device)
        self.parameters = count_weights(model)
        # Settings of sampling; transformers warns of them when decoding is greedy.
        for setting in ("temperature", "top_p", "top_k"):
            setattr(self.model.generation_config, setting, None)
        self._device = device

    def ask(self, pictures: Sequence[PilImage], words: str, max_tokens: int) -> Reply:
        """Show numbered pictures, then say `words`; the answer is decoded greedily."""
        inputs = self._inputs(pictures, words)
        text = self._generated(inputs, max_tokens, {"do_sample": False})
        return Reply(text, self._sizes_seen(inputs, pictures))

    def ask_often(
        self,
        pictures: Sequence[PilImage],
        words: str,
        max_tokens: int,
        seeds: Sequence[int],
        temperature: float,
        top_p: float,
    ) -> tuple[str, ...]:
        """Show numbered pictures, then say `words`; an answer is drawn for each seed.

        The answers are drawn one after the other: asked for several at once, some families of
        transformers hand each of them the pictures of the others.
        """
        import torch

        inputs = self._inputs(pictures, words)
        drawing = {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}
        answers = []
        with torch.random.fork_rng([] if self._device == "cpu" else [self._device]):
            for seed in seeds:
                torch.manual_seed(seed)
                answers.append(self._generated(inputs, max_tokens, drawing))
        return tuple(answers)

    def _inputs(self, pictures: Sequence[PilImage], words: str) -> Any:
        content: list[dict[str, str]] = []
        for number in range(1, len(pictures) + 1):
            content += [{"type": "text", "text": FRAME_LABEL.format(number=number)}, {"type": "image"}]
        content.append({"type": "text", "text": words})
        prompt = self._processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        inputs = self._processor(text=[prompt], images=list(pictures), return_tensors="pt").to(self._device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        return inputs

    def _generated(self, inputs: Any, max_tokens: int, decoding: Mapping[str, Any]) -> str:
        import torch

        with torch.inference_mode():
            tokens = self.model.generate(**inputs, **decoding, max_new_tokens=max_tokens)
        return str(
            self._processor.tokenizer.decode(
                tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
            )
        )

    def _sizes_seen(
        self, inputs: Mapping[str, Any], pictures: Sequence[PilImage]
    ) -> tuple[tuple[int, int], ...]:
        """The resized pictures' sizes where the model has a grid per picture, else those it was given."""
        grid = inputs.get("image_grid_thw")
        if grid is None:
            return tuple((picture.height, picture.width) for picture in pictures)
        patch = self._processor.image_processor.patch_size
        return tuple((int(rows) * patch, int(columns) * patch) for _, rows, columns in grid.tolist())


def coordinates_of(chat: PictureChat, said: str) -> Coordinates:
    """How a model writes boxes: as said, or by its family where `auto` is said.

    Raises:
        AdapterError: when nobody knows.
    """
    return known_coordinates(chat.family) if said == "auto" else Coordinates(said)


def known_coordinates(family: str) -> Coordinates:
    """How a family writes boxes.

    Raises:
        AdapterError: when that is not known.
    """
    if family not in FAMILIES:
        raise AdapterError(
            f"how models of type {family!r} write boxes is not known",
            expected=f"a model of type {', '.join(FAMILIES)}, or the convention said",
            fix="--option coordinates=pixels, per-thousand or unit",
        )
    return FAMILIES[family]


def _processor(name: str, revision: str | None, config: Any) -> Any:
    """The family's own processor without its part for videos."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    # By its own module: some versions (5.17) take its name at the top for one that needs torchvision.
    from transformers.models.auto.image_processing_auto import AutoImageProcessor
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    # The auto classes keep these tables for themselves; there is no public way to ask what they know.
    if (
        type(config) not in AutoModelForImageTextToText._model_mapping
        or type(config) not in PROCESSOR_MAPPING
    ):
        raise CheckpointError(
            "not a model that looks at pictures and answers in words",
            where=name,
            expected="a type that AutoModelForImageTextToText knows",
            found=config.model_type,
        )
    family = PROCESSOR_MAPPING[type(config)]

    class PicturesOnly(family):  # type: ignore[misc, valid-type]
        """The processor with nothing in the place of its video part."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == "video_processor" and argument is None:
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    parts = {
        "image_processor": AutoImageProcessor.from_pretrained(name, revision=revision),
        "tokenizer": AutoTokenizer.from_pretrained(name, revision=revision),
        "video_processor": None,
    }
    settings, _ = family.get_processor_dict(name, revision=revision)
    settings.setdefault("chat_template", parts["tokenizer"].chat_template)
    wanted = family.get_attributes()
    return PicturesOnly.from_args_and_dict([parts[part] for part in wanted], settings)
