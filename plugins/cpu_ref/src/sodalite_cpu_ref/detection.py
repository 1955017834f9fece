"""Boxes that overlap too much left out: NON_MAX_SUPPRESSION_V4 and V5, and the detectors' last operator.

Of boxes with equal scores the one with the lower index comes first, as in TensorFlow.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sodalite.errors import KernelError, ShapeError
from sodalite.graph import Array, Shape, TensorSpec
from sodalite.kernel import NodeSpec, Prepared, Reason, Unsupported, decoded_options

from .nodes import (
    Arrays,
    Work,
    by_values,
    called,
    fixed,
    inputs,
    ints,
    number,
    only,
    output,
    quant_of,
    rank_is,
    scalar,
    types,
    vector,
)

_FLOAT = types("float32")
_CORNERS = 4


def overlap(boxes: Array, one: int, others: Any) -> Array:
    """Intersection over union of box *one* with each of *others*; 0 where a box has no area.

    boxes: rows of ymin, xmin, ymax, xmax.
    """
    a, b = boxes[one], boxes[others]
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
    sides = np.maximum(np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]), np.float32(0))
    common = sides[:, 0] * sides[:, 1]
    return np.where((area_b <= 0) | (area_a <= 0), np.float32(0), common / (area_a + area_b - common))


def non_max_suppression(node: NodeSpec) -> Prepared:
    """The boxes (input 0) of the highest scores (input 1), of those that overlap only the best: at most input 2.

    Inputs 3 and 4: the overlap from which on boxes are left out, and the score above which they count. Input 5 (V5):
    sigma; unless 0, overlapping boxes lose score rather than be left out. Outputs: the places of the boxes,
    (V5) their scores, each filled up with zeros, and how many there are.
    """
    soft = len(node.inputs) > 5
    boxes, scores, most, *limits = inputs(node, 5 + soft)
    output(node, 2 + soft)
    only(_FLOAT, boxes, scores, *limits)
    only(types("int32"), most)
    count = vector(scores)
    if rank_is(boxes, 2) != (count, _CORNERS):
        raise ShapeError(f"{called(boxes)} has shape {boxes.shape}, wanted {(count, _CORNERS)}")
    for spec in (most, *limits):
        scalar(spec)

    def plan(value: Array) -> tuple[list[Shape], Work]:
        room = ints(value)[0]
        if room < 0:
            raise ShapeError(f"{called(most)} is {room}: no size")

        def work(ins: Arrays, outs: Arrays) -> None:
            overlapping, least, *rest = [x.reshape(-1)[0] for x in ins[3:]]
            sigma = rest[0] if rest else np.float32(0)
            if sigma < 0:
                raise KernelError(f"{called(limits[2])} is {sigma}: sigma must not be negative")
            ordered = np.concatenate([np.minimum(ins[0][:, :2], ins[0][:, 2:]), np.maximum(ins[0][:, :2], ins[0][:, 2:])], 1)
            chosen, kept = _chosen(ordered, ins[1], room, overlapping, least, sigma)
            for out, found in zip(outs, (chosen, kept) if soft else (chosen,), strict=False):
                out[...] = 0
                out[: len(found)] = found
            outs[-1][...] = len(chosen)

        rows: Shape = (room,)
        return [rows, rows, ()] if soft else [rows, ()], work

    return by_values(node, (2,), plan)


def _chosen(boxes: Array, scores: Array, room: int, overlapping: Any, least: Any, sigma: Any) -> tuple[list[int], list[Any]]:
    """Places and scores of the chosen boxes.

    A chosen box stays a candidate and then is left out because it overlaps itself; one without area is not, and so
    is chosen again. LiteRT works this way.
    """
    queue = [(-scores[i], int(i), 0) for i in np.flatnonzero(scores > least)]
    heapq.heapify(queue)
    room = min(room, len(queue))
    scale = np.float32(-0.5 / float(sigma)) if sigma > 0 else None
    chosen: list[int] = []
    kept: list[Any] = []
    while queue and len(chosen) < room:
        falling, at, seen = heapq.heappop(queue)
        before = len(chosen)
        score = -falling
        shared = overlap(boxes, at, chosen[seen:])[::-1] if before > seen else scores[:0]
        if (shared >= overlapping).any():
            continue
        if scale is not None:
            score = np.multiply.accumulate(np.append(score, np.exp(scale * shared * shared)))[-1]
        if score == -falling:
            chosen.append(at)
            kept.append(score)
        if score > least:
            heapq.heappush(queue, (-score, at, before))
    return chosen, kept


@dataclass(frozen=True, slots=True)
class _Settings:
    """The operator's options."""

    room: int
    classes: int
    per_box: int  # classes reported of a box (the fast way)
    per_class: int  # boxes reported of a class (the regular way)
    regular: bool
    least: np.float32
    overlapping: np.float32
    scales: Array  # of y, x, h, w


def _settings(given: Mapping[str, Any]) -> _Settings:
    with np.errstate(all="ignore"):
        made = _Settings(
            room=int(number(given, "max_detections")),
            classes=int(number(given, "num_classes")),
            per_box=int(number(given, "max_classes_per_detection")),
            per_class=int(number(given, "detections_per_class", 100)),
            regular=bool(number(given, "use_regular_nms", False)),
            least=np.float32(number(given, "nms_score_threshold")),
            overlapping=np.float32(number(given, "nms_iou_threshold")),
            scales=np.array([number(given, f"{axis}_scale") for axis in "yxhw"], np.float32),
        )
    if made.room < 0 or made.classes < 1 or made.per_box < 1 or min(made.per_class, made.room) < int(made.regular):
        raise Unsupported("options ask for no detections", code=Reason.OPTION)
    if not 0 < made.overlapping <= 1:
        raise Unsupported(f"nms_iou_threshold is {made.overlapping}, wanted more than 0, at most 1", code=Reason.OPTION)
    return made


def detection_postprocess(node: NodeSpec) -> Prepared:
    """TFLite_Detection_PostProcess: boxes relative to anchors, and their scores, to the best detections.

    Outputs: boxes (ymin, xmin, ymax, xmax), classes, scores (zeros where there are fewer detections), and how many.
    """
    encodings, scores, anchors = inputs(node, 3)
    output(node, 4)
    only(types("float32 uint8"), encodings, scores, anchors)
    only(_FLOAT, *node.outputs)
    if anchors.dtype != encodings.dtype:
        raise Unsupported(f"{called(anchors)} is {anchors.dtype}, {called(encodings)} {encodings.dtype}", code=Reason.TYPE)
    settings = _settings(decoded_options(node.custom_options))
    boxes, rated, base = rank_is(encodings, 3), rank_is(scores, 3), rank_is(anchors, 2)
    fits = boxes[0] == rated[0] == 1 and boxes[1] == rated[1] <= base[0] and boxes[2] >= _CORNERS == base[1]
    background = rated[2] - settings.classes
    if not fits or background not in (0, 1):
        raise ShapeError(f"boxes {boxes}, scores {rated} and anchors {base} do not fit for {settings.classes} classes")
    real = [_real(spec) for spec in (encodings, scores, anchors)]
    slots = settings.room * settings.per_box
    way = _regular if settings.regular else _fast

    def work(ins: Arrays, outs: Arrays) -> None:
        encoded, ratings, origin = [to_real(x) for to_real, x in zip(real, ins, strict=True)]
        corners = _decoded(encoded[0, :, :_CORNERS], origin[: boxes[1]], settings.scales)
        if (corners[:, :2] > corners[:, 2:]).any():
            raise KernelError(f"{called(encodings)} and {called(anchors)} give a box that ends before it begins")
        slot, box, label, count = way(settings, corners, ratings[0, :, background:])
        for out in outs[:3]:
            out[...] = 0
        outs[0][0, slot] = corners[box]
        outs[1][0, slot] = label
        outs[2][0, slot] = ratings[0, box, label + background]
        outs[3][...] = count

    return fixed(node, [(1, slots, _CORNERS), (1, slots), (1, slots), (1,)], work)


def _real(spec: TensorSpec) -> Any:
    if spec.dtype == "float32":
        return lambda x: x
    quant = quant_of(spec)
    scale, zero_point = np.float32(quant.scale), np.float32(quant.zero_point)
    return lambda x: (x.astype(np.float32) - zero_point) * scale


def _decoded(encoded: Array, anchors: Array, scales: Array) -> Array:
    """Corners from centres and sizes (y, x, h, w) relative to those of the anchors."""
    size = anchors[:, 2:].astype(np.float64)
    scaled = encoded / scales.astype(np.float64)
    centre = (scaled[:, :2] * size + anchors[:, :2]).astype(np.float32)
    half = (0.5 * np.exp(scaled[:, 2:]) * size).astype(np.float32)
    return np.concatenate([centre - half, centre + half], 1)


def _best(settings: _Settings, boxes: Array, scores: Array, room: int) -> list[int]:
    """Places of at most *room* boxes by falling score, without those that overlap a better one."""
    left = np.flatnonzero(scores >= settings.least)
    left = left[np.argsort(-scores[left], kind="stable")]
    best: list[int] = []
    while left.size and len(best) < room:
        best.append(int(left[0]))
        left = left[1:]
        left = left[~(overlap(boxes, best[-1], left) > settings.overlapping)]
    return best


def _fast(settings: _Settings, boxes: Array, scores: Array) -> tuple[Array, Array, Array, int]:
    """Slots, boxes and classes: boxes compared by their best class, and reported with their several best ones."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, : settings.per_box]
    best = np.array(_best(settings, boxes, scores.max(1, initial=-np.inf), settings.room), np.int64)
    slot = np.arange(best.size)[:, None] * settings.per_box + np.arange(order.shape[1])
    return slot.reshape(-1), best.repeat(order.shape[1]), order[best].reshape(-1), best.size


def _regular(settings: _Settings, boxes: Array, scores: Array) -> tuple[Array, Array, Array, int]:
    """Slots, boxes and classes: boxes compared within each class, then the best of all classes."""
    room = min(settings.per_class, settings.room)
    found = [(box, label) for label in range(settings.classes) for box in _best(settings, boxes, scores[:, label], room)]
    box, label = np.array(found, np.int64).reshape(-1, 2).T
    first = np.argsort(-scores[box, label], kind="stable")[: settings.room]
    return np.arange(first.size), box[first], label[first], first.size
