"""One set of pictures, every form of the network: what INT8 costs, and what the baseline reaches.

    python -m models.reference.compare --sets DIR --work DIR [--frames N] [--forms NAMES]

Each held-out clip's model pictures (N of them, from a third of the clip on) go through the
baseline, the float network and each INT8 artifact; the scores are ranked per label: mean AP per
set, in `--work`/comparison.json. The heads are the float one that ships.
The 8-bit weights of `arm` and `symmetric` overflow in the integer kernels of an x86 without VNNI:
there their graphs run as written, rounding simulated in float, without fused kernels.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import msgspec
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.reference import baseline, recipe
from models.reference.cache import CachedClip, load_set
from models.reference.comparison import COMPARISON_FILE, Comparison, FormFigures
from models.reference.fit_head import cut, logits_of
from models.reference.folding import INPUT_NAME
from models.reference.learn import ap_by_label, set_up_torch
from models.reference.parts import Parts, load_parts
from models.reference.tasks import BaselineTask

Features: TypeAlias = Callable[[CachedClip], NDArray[np.float32]]


def onnx_features(file: Path, *, shifted: bool, as_written: bool) -> Features:
    """The features that an INT8 ONNX artifact gives. `shifted`: it takes the bytes xor 0x80."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = recipe.TORCH_THREADS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if as_written:
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(clip: CachedClip) -> NDArray[np.float32]:
        out = []
        for picture in clip.pictures:
            planes = np.ascontiguousarray(picture.transpose(2, 0, 1))[None]
            numbers = (planes ^ 0x80).view(np.int8) if shifted else planes
            out.append(session.run(None, {INPUT_NAME: numbers})[0][0])
        return np.stack(out)

    return run


def tflite_features(file: Path) -> Features:
    """The features that the TFLite artifact gives."""
    try:
        from tflite_runtime.interpreter import Interpreter
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter
    interpreter: Any = Interpreter(model_path=str(file), num_threads=recipe.TORCH_THREADS)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    target = interpreter.get_output_details()[0]["index"]
    first_colour = source["shape"][1] == 3

    def run(clip: CachedClip) -> NDArray[np.float32]:
        out = []
        for picture in clip.pictures:
            ordered = picture.transpose(2, 0, 1) if first_colour else picture
            numbers = (np.ascontiguousarray(ordered)[None] ^ 0x80).view(np.int8)
            interpreter.set_tensor(source["index"], numbers)
            interpreter.invoke()
            out.append(interpreter.get_tensor(target)[0].copy())
        return np.stack(out)

    return run


def forms_of(parts: Parts, folder: Path) -> dict[str, Features]:
    """Every form that is there: float, and the artifacts in `folder`."""
    forms: dict[str, Features] = {"float": lambda c: parts.task.clip_features(c).cpu().numpy()}
    known = {
        "portable": ("backbone-int8.onnx", False, False),
        "arm": ("backbone-int8-arm.onnx", True, True),
        "symmetric": ("backbone-int8-symmetric.onnx", False, True),
    }
    for name, (file, shifted, as_written) in known.items():
        if (folder / file).is_file():
            forms[name] = onnx_features(folder / file, shifted=shifted, as_written=as_written)
    if (folder / "backbone-int8.tflite").is_file():
        forms["tflite"] = tflite_features(folder / "backbone-int8.tflite")
    return forms


def figures_of(
    form: str, held_out_set: str, clips: Sequence[CachedClip], logits: list[NDArray[np.float32]]
) -> FormFigures:
    """AP of all clips of a set ranked together."""
    truth = np.concatenate([clip.truth for clip in clips])
    found = ap_by_label(truth, np.concatenate(logits))
    return FormFigures(
        form=form,
        held_out_set=held_out_set,
        pictures=len(truth),
        mean_average_precision=round(float(np.mean(list(found.values()))), 4),
        average_precision={id_: round(value, 4) for id_, value in found.items()},
    )


def measure_set(folder: Path, work: Path, frames: int, wanted: Sequence[str]) -> list[FormFigures]:
    """Every form on one set; `wanted`: some of them, all when empty."""
    set_up_torch()
    torch.set_grad_enabled(False)
    parts = load_parts(work)
    found = []
    clips = _part_of(load_set(folder, work / "cache", (recipe.HEIGHT, recipe.WIDTH)), frames)
    for form, features in forms_of(parts, work / "bundle").items():
        if not wanted or form in wanted:
            logits = [logits_of(parts.head, features(clip)) for clip in clips]
            found.append(figures_of(form, folder.name, clips, logits))
    small = _baseline(work) if not wanted or "baseline" in wanted else None
    if small is not None:
        size = (baseline.HEIGHT, baseline.WIDTH)
        clips = _part_of(load_set(folder, work / "cache", size), frames)
        logits = [small.clip_logits(clip) for clip in clips]
        found.append(figures_of("baseline", folder.name, clips, logits))
    return found


def _part_of(clips: Sequence[CachedClip], frames: int) -> list[CachedClip]:
    """`frames` pictures of each clip from a third of it on; all of them when 0."""
    if not frames:
        return list(clips)
    starts = [max(min(len(c.pts_ns) // 3, len(c.pts_ns) - frames), 0) for c in clips]
    return [cut(c, slice(s, s + frames)) for c, s in zip(clips, starts, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--sets", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--work", type=Path, required=True, help="folder of the training")
    parser.add_argument("--frames", type=int, default=0, help="of each clip; 0: all")
    parser.add_argument("--forms", default="", help="some forms, with commas between")
    parser.add_argument("--out", default=COMPARISON_FILE, help="name of the file in WORK")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="sets at a time")
    arguments = parser.parse_args()
    wanted = [word for word in arguments.forms.split(",") if word]
    folders = [arguments.sets / name for name in recipe.HELD_OUT_SETS]
    figures: list[FormFigures] = []
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        running = [
            pool.submit(measure_set, folder, arguments.work, arguments.frames, wanted)
            for folder in folders
            if folder.is_dir()
        ]
        for done in running:
            for each in done.result():
                figures.append(each)
                _say(each)
    result = Comparison(frames=arguments.frames, figures=figures)
    encoded = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (arguments.work / arguments.out).write_bytes(encoded + b"\n")


def _baseline(work: Path) -> BaselineTask | None:
    file = work / "baseline.pt"
    if not file.is_file():
        return None
    task = BaselineTask()
    task.load_state_dict(torch.load(file, weights_only=True)["average"])
    return task.eval()


def _say(figures: FormFigures) -> None:
    print(
        f"{figures.held_out_set} {figures.form}: mean AP {figures.mean_average_precision:.4f} "
        + " ".join(f"{id_} {v:.2f}" for id_, v in figures.average_precision.items()),
        flush=True,
    )


if __name__ == "__main__":
    main()
