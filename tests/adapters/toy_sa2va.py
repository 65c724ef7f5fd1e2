"""A checkpoint folder whose own small code answers like Sa2VA's `predict_forward`, traps included."""

from __future__ import annotations

import json
from pathlib import Path

CODE = """
import numpy as np
import torch
from transformers import PretrainedConfig, PreTrainedModel


class ToyConfig(PretrainedConfig):
    model_type = "toy_sa2va"


class {name}(PreTrainedModel):
    config_class = ToyConfig

    def __init__(self, config, use_flash_attn=None):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.post_init()

    def predict_forward(self, image=None, video=None, text=None, past_text="", mask_prompts=None,
                        tokenizer=None, processor=None{more}):
        assert tokenizer is not None
        assert "<image>" in text, "image tokens do not match"
        width, height = video[0].size
        full = np.zeros((len(video), height, width), bool)
        full[:, :2] = True
        half = np.zeros_like(full)
        half[:, -2:] = True
        answer = {{"prediction": "Sure, [SEG].<|im_end|>", "prediction_masks": [full]}}
        if "two" in text:
            answer = {{"prediction": "Sure, [SEG] and [SEG].", "prediction_masks": [full, half]}}
        if "silent" in text:
            answer = {{"prediction": "There is none.", "prediction_masks": []}}
        if "partly" in text:
            answer["prediction"] = "[SEG] and [SEG]"
        if "lost" in text:
            answer = {{"prediction": "It is [SEG]", "prediction_masks": []}}
        if "logits" in text:
            answer["prediction_masks"] = [full * 3.7]
        if "small" in text:
            answer["prediction_masks"] = [full[:, :1]]
        if "short" in text:
            answer["prediction_masks"] = [full[:1]]
        if "tensor" in text:
            answer["prediction_masks"] = [torch.from_numpy(full)]
        if "nothing" in text:
            answer["prediction_masks"] = None
        if "text only" in text:
            return answer["prediction"]
        {extra}
        return answer
"""
IMPROVED = 'answer["sample_idx"] = [int(one) for one in np.linspace(0, len(video) - 1, sample_num_frames)]'


def write_checkpoint(
    folder: Path, *, improved: bool = False, on_gpu: bool = False, name: str = "Toy"
) -> Path:
    """The folder: config with auto_map, code, weights, tokenizer.

    Args:
        improved: answer like Sa2VA-i.
        on_gpu: move its masks by a file that says `.cuda()`, as the released Qwen family does.
        name: of the class; one with "Qwen" in it is given a processor.
    """
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    more = ", sample_num_frames=5" if improved else ""
    extra = IMPROVED if improved else "pass"
    code = CODE.format(name=name, more=more, extra=extra)
    if on_gpu:
        extra = f'answer["prediction_masks"] = [moved(torch.from_numpy(full))]; {extra}'
        code = CODE.format(name=name, more=more, extra=extra)
        code = f"from .toy_tracker import moved\n{code}"
        (folder / "toy_tracker.py").write_text("def moved(tensor):\n    return tensor.cuda()\n")
    (folder / "modeling_toy.py").write_text(code)
    maps = {"AutoConfig": "modeling_toy.ToyConfig", "AutoModel": f"modeling_toy.{name}"}
    config = {"model_type": "toy_sa2va", "architectures": [name], "auto_map": maps}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors", metadata={"format": "pt"})
    words = Tokenizer(WordLevel({"[UNK]": 0, "[SEG]": 1}, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(folder)
    return folder
