"""What OpenCV's FileStorage writes, YAML or JSON, and EasyMocap's pair of such files.

    <anything>.yml .json   a map per camera, or one file per camera named after it; fields as in ``calibrated.NAMES``
                           and image_width, image_height
    intri.yml              names, K_<name>, dist_<name> and, in newer ones, W_<name>, H_<name>
    extri.yml              names, R_<name> (vector), Rot_<name> (matrix), T_<name>

Poses are x_camera = R x_world + t. A top-level ``unit`` (m, mm, ...) is read where there is one.
"""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

import cv2

from scenes.calibration.calibrated import NAMES, Calibration, camera_from_fields, make_calibration, read_text
from scenes.fields import AGAIN
from warpgs.checks import refuse, sentence

DEEPEST = 16
"""OpenCV's parser calls itself for each level of nesting, and falls off the stack in files made for that."""
LONGEST = 4096
"""OpenCV walks from the start to each value of a list: longer ones, of no calibration, would take minutes."""


def read_opencv(paths: tuple[Path, ...]) -> Calibration:
    """A map per camera in one file, or one file per camera."""
    roots = [(path, read_map(path)) for path in paths]
    unit = next((root["unit"] for _, root in roots if "unit" in root), None)
    single = [(path, root) for path, root in roots if any(name in root for name in NAMES["matrix"])]
    if single:
        cameras = [camera_from_fields(path, root.get("name", path.stem), root) for path, root in single]
        return make_calibration(paths[0], cameras, unit)
    if len(roots) > 1:
        refuse(paths[0], "one file of all cameras, or one per camera", f"{len(roots)} files of several", "keep one")
    ((path, root),) = roots
    entries = root.get("cameras", root)
    if isinstance(entries, list):
        named = [(entry.get("name", str(i)), entry) for i, entry in enumerate(entries) if isinstance(entry, dict)]
    else:
        named = list(entries.items()) if isinstance(entries, dict) else []
    cameras = [camera_from_fields(path, entry.get("name", k), entry) for k, entry in named if isinstance(entry, dict)]
    return make_calibration(path, cameras, unit)


def read_easymocap(paths: tuple[Path, ...]) -> Calibration:
    """intri.yml and extri.yml."""
    if len(paths) != 2:
        refuse(paths[0].parent, "both intri.yml and extri.yml", paths[0].name, "copy the other one")
    extri_path, intri_path = paths
    intri, extri = read_map(intri_path), read_map(extri_path)
    names = intri.get("names", [key[2:] for key in intri if key.startswith("K_")])
    if not isinstance(names, list):
        refuse(f"{intri_path}: names", "a list", type(names).__name__, AGAIN)
    cameras = []
    for name in map(str, names):
        found = {"K": intri.get(f"K_{name}"), "dist": intri.get(f"dist_{name}"), "T": extri.get(f"T_{name}")}
        found |= {"Rot": extri.get(f"Rot_{name}", extri.get(f"R_{name}"))}
        found |= {"image_width": intri.get(f"W_{name}"), "image_height": intri.get(f"H_{name}")}
        fields = {key: value for key, value in found.items() if value is not None}
        cameras.append(camera_from_fields(extri_path if "K" in fields else intri_path, name, fields))
    return make_calibration(intri_path, cameras)


def read_map(path: Path) -> dict[str, Any]:
    """The top level of a YAML or JSON file; OpenCV's matrices as flat lists."""
    text = read_text(path)
    # Flow style nests by brackets, block style by indentation or by dashes within one line.
    depth = max(accumulate((mark in "[{") - (mark in "]}") for mark in text), default=0)
    if max(depth, *(line.count("- ") for line in text.split("\n"))) > DEEPEST:
        refuse(path, f"a calibration nested at most {DEEPEST} deep", "a deeper one", AGAIN)
    try:
        root = json.loads(text) if path.suffix == ".json" else _read_yaml(text)
    except (ValueError, RecursionError, cv2.error, SystemError) as error:
        got = str(error).strip().split("\n")[0][:200]
        raise ValueError(sentence(path, "JSON" if path.suffix == ".json" else "OpenCV's YAML", got, AGAIN)) from error
    root = _plain(root)
    if not isinstance(root, dict):
        refuse(path, "named values", type(root).__name__, AGAIN)
    return root


def _read_yaml(text: str) -> object:
    mode = cv2.FileStorage_READ | cv2.FileStorage_MEMORY | cv2.FileStorage_FORMAT_YAML
    if not text.startswith("%YAML"):  # without its first line OpenCV takes the text for a file's name
        text = "%YAML:1.0\n" + ("" if text.startswith("---") else "---\n") + text
    storage = cv2.FileStorage(text, mode)
    try:
        return _value(storage.root())
    finally:
        storage.release()


def _value(node: cv2.FileNode) -> object:
    """A node with everything below it."""
    if node.size() > LONGEST and not node.isString():
        raise ValueError(f"a list or map of {node.size()} values")
    if node.isMap():
        return {key: _value(node.getNode(key)) for key in node.keys()}
    if node.isSeq():
        return [_value(node.at(i)) for i in range(node.size())]
    if node.isString():
        return node.string()
    return int(node.real()) if node.isInt() else node.real() if node.isReal() else None


def _plain(value: object) -> Any:
    """Nested values, each matrix replaced by its numbers; rows and cols must say how many these are."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if {"rows", "cols", "data"} <= value.keys():
        data = value["data"]
        sides = value["rows"], value["cols"]
        whole = isinstance(data, list) and all(isinstance(side, int | float) for side in sides)
        return data if whole and sides[0] * sides[1] == len(data) else None
    return {key: _plain(item) for key, item in value.items()}
