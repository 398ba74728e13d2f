"""Material files: what they say, and what is refused."""

import json

import numpy as np
import pytest
import trimesh

from warpgs.simulate import Material, read_material
from warpgs.simulate.colliders import Kind


def test_material_reads_back_with_parts_pins_and_colliders(tmp_path):
    trimesh.creation.box((1, 1, 1)).export(tmp_path / "block.obj")
    content = {
        "friction": 0.2, "stiffness": 2e5, "gravity": [0, 0, -1.6], "ground": False,
        "parts": {"ball": {"restitution": 0.9, "density": 50}}, "pins": {"lamp": [0, 0, 2]},
        "colliders": [
            {"shape": "mesh", "file": "block.obj", "center": [0, 0, -0.5], "scale": 2},
            {"shape": "box", "center": [1, 0, 0], "extents": [1, 1, 1]},
            {"shape": "sphere", "center": [0, 0, 0], "radius": 0.5},
            {"shape": "plane", "normal": [1, 0, 0], "offset": 2},
        ],
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(content))
    material = read_material(tmp_path / "m.json")
    assert material.friction == 0.2 and material.gravity == (0.0, 0.0, -1.6) and not material.ground
    assert material.of("ball").restitution == 0.9 and material.of("ball").friction == 0.2
    assert material.of("brick").restitution == Material().restitution
    assert [c.kind for c in material.colliders] == [Kind.MESH, Kind.BOX, Kind.SPHERE, Kind.PLANE]
    assert np.ptp(material.colliders[0].vertices, axis=0) == pytest.approx([2, 2, 2])
    json.dumps(material.numbers())


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object, got list"),
        ('{"frictoin": 1}', "expected entries among .*, got 'frictoin'"),
        ('{"friction": "high"}', "friction: expected a number, got 'high'"),
        ('{"friction": true}', "friction: expected a number, got True"),
        ('{"friction": -1}', "friction: expected a number from 0 to inf"),
        ('{"restitution": 1.5}', "restitution: expected a number from 0 to 1"),
        ('{"stiffness": NaN}', "stiffness: expected a finite number"),
        ('{"ground": 1}', "ground: expected true or false"),
        ('{"gravity": [0, 0]}', "gravity: expected three numbers"),
        ('{"parts": {"a": {"mass": 1}}}', "parts: a: expected entries among density"),
        ('{"parts": {"a": {"density": 0}}}', "density: expected a number from 1e-06"),
        ('{"pins": {"a": 1}}', "pins: a: expected three numbers"),
        ('{"colliders": {}}', "colliders: expected a list"),
        ('{"colliders": [{"shape": "torus"}]}', r"colliders\[0\]: shape: expected one of plane"),
        ('{"colliders": [{"shape": "box"}]}', r"colliders\[0\]: expected what a box has"),
    ],
)
def test_broken_material_is_refused_with_the_entry(tmp_path, text, match):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_material(tmp_path / "m.json")


def test_missing_mesh_is_named(tmp_path):
    (tmp_path / "m.json").write_text('{"colliders": [{"shape": "mesh", "file": "gone.obj"}]}')
    with pytest.raises(FileNotFoundError, match=r"gone\.obj: expected a mesh, got no such file"):
        read_material(tmp_path / "m.json")
