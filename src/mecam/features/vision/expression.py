"""What a face does, measured on its mesh: head pose, mouth, brows, eyes, gaze, cheeks and jaw, by name.

The mesh is first turned to face the camera and scaled by the width of the upper face, so that neither pose nor
distance nor picture size changes a measure: lengths are in units of that width. *Left* and *right* are the person's
own; *up* and *forward* are positive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "POINTS", "Frontal", "frontal", "measure"]

POINTS = 468

NAMES = (
    *("head_yaw", "head_pitch", "head_roll", "head_yaw_speed", "head_pitch_speed", "head_roll_speed", "head_speed"),
    *("mouth_open", "mouth_width", "mouth_corner_left", "mouth_corner_right", "mouth_corners", "mouth_shift"),
    *("lip_press", "lip_upper_raise", "lip_lower_drop", "lip_protrusion", "mouth_open_speed"),
    *("brow_inner_left", "brow_inner_right", "brow_outer_left", "brow_outer_right", "brow_raise", "brow_knit"),
    *("eye_open_left", "eye_open_right", "eye_open", "blink", "gaze_x", "gaze_y"),
    *("cheek_left", "cheek_right", "nose_wrinkle", "jaw_open", "jaw_shift"),
    *("mouth_asymmetry", "brow_asymmetry", "eye_asymmetry"),
)
"""The columns. Angles in degrees: yaw to the person's left, pitch up, roll to the person's left shoulder (clockwise
in the picture); speeds per second; `blink` is 0 (open) to 1 (shut); everything else in widths of the face."""

# Points that speech and expression hardly move, in pairs of the person's right and left.
_PAIRS = ((33, 263), (133, 362), (127, 356), (234, 454), (162, 389), (21, 251), (54, 284), (103, 332), (67, 297))
# From above to below along the middle of the face: forehead and bridge of the nose to its base.
_UPRIGHT = ((10, 2), (151, 2), (109, 98), (338, 327), (9, 2), (168, 2))
_NOD = 0.6
"""The mesh overstates how far a head nods. At this share of it, lengths that no muscle changes (eyes to the base of the
nose) depend least on the nod, in real faces and in rendered ones of known pose."""
_EYE_CORNERS = (33, 133, 362, 263)

# The person's right first, then left.
_BROW_INNER = ((55, 65), (285, 295))
_BROW_OUTER = ((53, 70), (283, 300))
_LIDS = (((160, 144), (159, 145), (158, 153)), ((387, 373), (386, 374), (385, 380)))
_EYES = ((33, 133), (263, 362))
_CHEEK = ((50, 205, 101), (280, 425, 330))
_NOSE_WING = ((129, 133), (358, 362))
_INNER_LIPS = ((82, 87), (13, 14), (312, 317))
_SHUT, _OPEN = 0.08, 0.22
"""Height of an eye against its width at which it is shut, and surely open."""


@dataclass(frozen=True)
class Frontal:
    """Meshes turned to the camera.

    Attributes:
        points: N × 468 × 3 in widths of the face, x to the person's left, y up, z forward, 0 between the eyes.
        pose: N × 3 degrees: yaw, pitch, roll.
        centre: N × 2 pixels, between the eyes.
        size: N pixels, the width of the upper face.
        axes: N × 3 × 3, rows are the head's x, y and z in picture axes (x right, y up, z to the camera).
    """

    points: NDArray[np.float64]
    pose: NDArray[np.float64]
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    axes: NDArray[np.float64]


def frontal(points: NDArray[np.float32]) -> Frontal:
    """Turn meshes to the camera.

    Args:
        points: N × 468 × 3 as `face_models.mesh` gives them: pixels, y down, z away from the camera.
    """
    mesh = points.astype(np.float64) * np.array([1.0, -1.0, -1.0])
    pairs, upright = np.array(_PAIRS), np.array(_UPRIGHT)
    x = _unit((mesh[:, pairs[:, 1]] - mesh[:, pairs[:, 0]]).mean(axis=1))
    down = (mesh[:, upright[:, 1]] - mesh[:, upright[:, 0]]).mean(axis=1)
    level = _unit(np.array([0.0, 1.0, 0.0]) - x * x[:, 1:2])  # up, were there no nod
    ahead = np.cross(x, level)
    nod = _NOD * np.arctan2((down * ahead).sum(axis=1), -(down * level).sum(axis=1))
    y = level * np.cos(nod)[:, None] - ahead * np.sin(nod)[:, None]
    axes = np.stack([x, y, np.cross(x, y)], axis=1)
    centre = mesh[:, _EYE_CORNERS].mean(axis=1)
    turned = np.einsum("npk,njk->npj", mesh - centre[:, None], axes)
    size = np.maximum((turned[:, pairs[:, 1], 0] - turned[:, pairs[:, 0], 0]).mean(axis=1), 1e-6)
    yaw, roll = np.arctan2(-x[:, 2], x[:, 0]), np.arctan2(-x[:, 1], x[:, 0])
    pose = np.degrees(np.stack([yaw, nod, roll], axis=1))
    return Frontal(turned / size[:, None, None], pose, centre[:, :2], size, axes)


def measure(
    points: NDArray[np.float32], irises: NDArray[np.float32], times: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Measure one face over time.

    Args:
        points: N × 468 × 3 as `face_models.mesh` gives them.
        irises: N × 2 × 2 pixels, right and left eye; NaN where not looked for.
        times: N seconds, increasing; the face was seen without a break.

    Returns: N × len(NAMES); NaN where something is not known (gaze without irises, speeds of a single moment).
    """
    face = frontal(points)
    at = face.points
    centre = face.centre / face.size[:, None]
    values = {
        **dict(zip(NAMES[:3], face.pose.T, strict=True)),
        "head_speed": np.hypot(*(_speed(column, times) for column in centre.T)),
        **_mouth(at),
        **_brows(at),
        **_eyes(at),
        **_gaze(face, irises),
        **_cheeks(at),
    }
    for name in ("head_yaw", "head_pitch", "head_roll", "mouth_open"):
        values[f"{name}_speed"] = _speed(values[name], times)
    for part, right, left in (
        ("mouth", "mouth_corner_right", "mouth_corner_left"),
        ("brow", "brow_outer_right", "brow_outer_left"),
        ("eye", "eye_open_right", "eye_open_left"),
    ):
        values[f"{part}_asymmetry"] = values[left] - values[right]
    return np.stack([values[name] for name in NAMES], axis=1).astype(np.float32)


def _mouth(at: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    right, left = at[:, 61], at[:, 291]
    upper, lower = at[:, 0], at[:, 17]
    inner = np.mean([at[:, high, 1] - at[:, low, 1] for high, low in _INNER_LIPS], axis=0)
    base = at[:, 2, 1]
    # Against nose and lips together: an opening jaw draws the corners down a little, and that is no sadness.
    rest = base / 2 + (at[:, 13, 1] + at[:, 14, 1]) / 4
    corners = {"left": left[:, 1] - rest, "right": right[:, 1] - rest}
    return {
        "mouth_open": inner,
        "mouth_width": np.linalg.norm(left - right, axis=1),
        "mouth_corner_left": corners["left"],
        "mouth_corner_right": corners["right"],
        "mouth_corners": (corners["left"] + corners["right"]) / 2,
        "mouth_shift": (upper[:, 0] + lower[:, 0]) / 2 - at[:, 2, 0],
        "lip_press": -(np.linalg.norm(upper - at[:, 13], axis=1) + np.linalg.norm(lower - at[:, 14], axis=1)),
        "lip_upper_raise": at[:, 13, 1] - base,
        "lip_lower_drop": base - at[:, 14, 1],
        "lip_protrusion": (at[:, 13, 2] + at[:, 14, 2]) / 2 - (left[:, 2] + right[:, 2]) / 2,
    }


def _brows(at: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    values = {}
    for side, inner, outer, corners in zip(("right", "left"), _BROW_INNER, _BROW_OUTER, _EYES, strict=True):
        eye = at[:, corners, 1].mean(axis=1)
        values[f"brow_inner_{side}"] = at[:, inner, 1].mean(axis=1) - eye
        values[f"brow_outer_{side}"] = at[:, outer, 1].mean(axis=1) - eye
    values["brow_raise"] = np.mean(list(values.values()), axis=0)
    values["brow_knit"] = -(at[:, _BROW_INNER[1], 0].mean(axis=1) - at[:, _BROW_INNER[0], 0].mean(axis=1))
    return values


def _eyes(at: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    opening = {}
    for side, lids, (outer, inner) in zip(("right", "left"), _LIDS, _EYES, strict=True):
        high = np.mean([at[:, up, 1] - at[:, low, 1] for up, low in lids], axis=0)
        opening[side] = high / np.maximum(np.linalg.norm(at[:, outer] - at[:, inner], axis=1), 1e-6)
    both = (opening["right"] + opening["left"]) / 2
    return {
        "eye_open_left": opening["left"],
        "eye_open_right": opening["right"],
        "eye_open": both,
        "blink": np.clip((_OPEN - both) / (_OPEN - _SHUT), 0.0, 1.0),
    }


def _gaze(face: Frontal, irises: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Where the irises stand between the corners of the eyes, along the head's own axes."""
    middle = irises.astype(np.float64) * np.array([1.0, -1.0])  # N × 2 × 2, picture axes, y up
    shifts = []
    for eye, (outer, inner) in enumerate(_EYES):
        corners = face.points[:, [outer, inner]]
        origin = corners.mean(axis=1)
        # An eyeball bulges: the iris lies as far forward as the lids that rest on it, not as the corners behind them.
        origin[:, 2] = face.points[:, np.ravel(_LIDS[eye]), 2].mean(axis=1)
        width = np.maximum(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1), 1e-6)
        # Back into the picture: the iris is known there only.
        flat = np.einsum("nj,njk->nk", origin, face.axes)[:, :2]
        seen = (middle[:, eye] - face.centre) / face.size[:, None] - flat
        along = np.stack([(seen * face.axes[:, axis, :2]).sum(axis=1) for axis in (0, 1)], axis=1)
        shifts.append(along / width[:, None])
    x, y = np.mean(shifts, axis=0).T
    return {"gaze_x": x, "gaze_y": y}


def _cheeks(at: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    wrinkle = [np.linalg.norm(at[:, wing] - at[:, corner], axis=1) for wing, corner in _NOSE_WING]
    return {
        "cheek_right": at[:, _CHEEK[0], 1].mean(axis=1),
        "cheek_left": at[:, _CHEEK[1], 1].mean(axis=1),
        "nose_wrinkle": -np.mean(wrinkle, axis=0),
        "jaw_open": at[:, 2, 1] - at[:, 152, 1],
        "jaw_shift": at[:, 152, 0],
    }


def _speed(values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Change per second; NaN for a single moment."""
    return np.gradient(values, times) if len(times) > 1 else np.full(len(times), np.nan)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit
