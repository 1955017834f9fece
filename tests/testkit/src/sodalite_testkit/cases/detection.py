# SPDX-License-Identifier: Apache-2.0
"""NON_MAX_SUPPRESSION_V4 and V5, TFLite_Detection_PostProcess. No two scores are equal: LiteRT's order is its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from sodalite.graph import Array

from ..case import Case, Tensor, case, const, fed, out, q
from ..tolerance import Tolerance
from .movement import numbers, told

BOX = Tolerance(abs=1e-6, ulps=4)  # exp, and what is computed from it


def cases() -> Iterator[Case]:
    """A worked example first."""
    boxes = fed(np.array([[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]], np.float32))
    given = [boxes, fed(np.array([0.8, 0.9, 0.3], np.float32)), numbers(3, known=True), *_limits(0.5, 0.2)]
    yield case("NON_MAX_SUPPRESSION_V4", given, [out("int32"), out("int32")], expected=[[1, 2, 0], 2], note="by-hand")
    for known in (True, False):
        yield from _suppression(known)
    yield _few()
    for options in ({}, {"use_regular_nms": True}, {"use_regular_nms": True, "detections_per_class": 2}):
        yield from _detections(**options)
    yield from _bad()


def _limits(*values: float, known: bool = True) -> list[Tensor]:
    return [(const if known else fed)(np.float32(value)) for value in values]


def _scores(*shape: int) -> Array:
    """Different scores in 0 ... 1, in no order."""
    count = int(np.prod(shape))
    return ((np.arange(count) * 7919 % count + 0.5) / count).astype(np.float32).reshape(shape)


def _boxes(count: int) -> Array:
    """Boxes of several sizes, many of which overlap; some are given from their far corner, one has no area."""
    at = np.arange(count)
    corner = np.stack([at * 5 % 7, at * 3 % 5], 1) / 8
    boxes = np.concatenate([corner, corner + np.stack([1 + at % 3, 1 + at % 2], 1) / 4], 1)
    boxes[3::5] = boxes[3::5, [2, 3, 0, 1]]
    boxes[0, 2] = boxes[0, 0]
    return boxes.astype(np.float32)


def _suppression(known: bool) -> Iterator[Case]:
    for count in (0, 1, 33):
        for room in (0, 5, 40) if known else (5, 40):  # LiteRT has no late outputs without elements
            for overlapping, least in ((0.5, 0.3), (0.1, 0.0), (1.5, 0.2)):
                given = [fed(_boxes(count or 1)[:count]), fed(_scores(count)), numbers(room, known=known)]
                given += _limits(overlapping, least, known=known)
                note = f"{count}of{room}-{overlapping}-{told(known)}"
                yield case("NON_MAX_SUPPRESSION_V4", given, [out("int32"), out("int32")], note=note)
                for sigma in (0.0, 0.5):
                    soft = [*given, *_limits(sigma, known=known)]
                    results = [out("int32"), out("float32"), out("int32")]
                    yield case("NON_MAX_SUPPRESSION_V5", soft, results, tolerance=BOX, note=f"{note}-sigma{sigma}")


def _options(**options: Any) -> bytes:
    given: dict[str, Any] = {"max_detections": 6, "max_classes_per_detection": 1, "num_classes": 5}
    given |= {"nms_score_threshold": 0.25, "nms_iou_threshold": 0.4}
    given |= {"y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}
    return bytes(flexbuffers.Dumps(given | options))


def _given(dtype: str, classes: int, width: int = 4) -> list[Tensor]:
    """Encodings, scores and anchors of 24 boxes."""
    anchors = np.abs(_boxes(24)) + np.float32(0.25)
    if dtype == "float32":
        return [fed(dtype, (1, 24, width)), fed(_scores(1, 24, classes)), const(anchors)]
    levels = (np.arange(24 * classes) * 77 % 256).astype(np.uint8).reshape(1, 24, classes)
    codes = (anchors * 128).round().clip(0, 255).astype(np.uint8)
    encodings = fed(dtype, (1, 24, width), q(0.06, 127), low=60, high=200)
    return [encodings, fed(levels, quant=q(1 / 256, 0)), const(codes, quant=q(1 / 128, 0))]


def _detections(**options: Any) -> Iterator[Case]:
    results = [out("float32")] * 4
    for dtype in ("float32", "uint8"):
        for classes in (5, 6):
            several = [] if options else [{"max_classes_per_detection": 3}]
            for more in ({}, {"max_detections": 1}, *several):
                asked = options | more
                note = "-".join([f"{classes}classes", *(f"{name}{value}" for name, value in asked.items())])
                wide = 7 if more else 4
                given = _given(dtype, classes, wide)
                op = "custom:TFLite_Detection_PostProcess"
                yield case(op, given, results, custom_options=_options(**asked), tolerance=BOX, note=note)


def _few() -> Case:
    """One detection and room for two, which LiteRT leaves as it is and Sodalite fills with zeros."""
    anchors = const(np.array([[0.5, 0.5, 1, 1], [3, 3, 2, 2]], np.float32))
    given = [fed(np.zeros((1, 2, 4), np.float32)), fed(np.array([[[0.1, 0.6], [0.2, 0.1]]], np.float32)), anchors]
    wanted: list[Any] = [[[[0, 0, 1, 1], [0, 0, 0, 0]]], [[1, 0]], [[0.6, 0]], [1]]
    raw = _options(max_detections=2, num_classes=2)
    op = "custom:TFLite_Detection_PostProcess"
    return case(op, given, [out("float32")] * 4, custom_options=raw, expected=wanted, oracle="expected", note="by-hand")


def _bad() -> Iterator[Case]:
    scores = fed(np.array([0.5], np.float32))
    for known in (True, False):
        given = [fed("float32", (1, 4)), scores, numbers(-1, known=known), *_limits(0.5, 0.2)]
        yield case("NON_MAX_SUPPRESSION_V4", given, [out("int32"), out("int32")], raises="ShapeError", note=told(known))
    given = [fed("float32", (1, 4)), scores, numbers(1, known=True), *_limits(0.5, 0.2, -1.0)]
    yield case("NON_MAX_SUPPRESSION_V5", given, [out("int32"), out("float32"), out("int32")], raises="KernelError")
    results = [out("float32")] * 4
    op = "custom:TFLite_Detection_PostProcess"
    boxes, scores, _ = _given("float32", 5)
    turned = [boxes, scores, const(-np.abs(_boxes(24)) - 1)]
    yield case(op, turned, results, custom_options=_options(), raises="KernelError", note="turned")
    few = [boxes, scores, const(_boxes(23))]
    yield case(op, few, results, custom_options=_options(), raises="ShapeError", note="few-anchors")
    for wrong in ({"num_classes": 3}, {"num_classes": 6}):
        note = f"{wrong['num_classes']}classes"
        yield case(op, _given("float32", 5), results, custom_options=_options(**wrong), raises="ShapeError", note=note)
