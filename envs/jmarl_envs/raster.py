"""Pixels: scenes as images, and rows of images as a GIF. The only module that imports Pillow."""

import io
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jmarl_envs.scene import INK, PAPER, Box, Circle, Line, Scene, Shape, Text

COLOURS = 128  # of a GIF, the same in all of its frames
SAMPLED = 64  # frames that the colours are chosen from
SMOOTH = 2  # drawn so many times larger, then scaled down: edges come out soft
LEAST = 0.8  # of the pixels: no picture above a panel is narrower
STRIP, MARGIN = 18, 4  # pixels of each line of the caption, and around them
LETTERS = range(13, 7, -1)  # their sizes, the largest that fits


def image(scene: Scene, pixels: int = 400) -> Image.Image:
    """`scene` with its longer side `pixels` long, a strip for the caption beneath if it has one.

    A panel comes below; it is as wide as the picture, or as LEAST of `pixels` if that is more.
    """
    picture = _drawn(scene, pixels / max(scene.width, scene.height))
    if scene.panel is not None:
        picture = _fitted(picture, max(picture.width, round(LEAST * pixels)), picture.height)
    whole = _captioned(picture, scene.caption) if scene.caption else picture
    return whole if scene.panel is None else _stacked(whole, scene.panel)


def _stacked(picture: Image.Image, panel: Scene) -> Image.Image:
    below = _drawn(panel, picture.width / panel.width)
    both = _fitted(picture, picture.width, picture.height + below.height)
    both.paste(below, (0, picture.height))
    return both


def _drawn(scene: Scene, scale: float) -> Image.Image:
    """The shapes, `scale` pixels a unit."""
    size = max(1, round(scene.width * scale)), max(1, round(scene.height * scale))
    canvas = Image.new("RGB", (SMOOTH * size[0], SMOOTH * size[1]), PAPER)
    pen = ImageDraw.Draw(canvas, "RGBA")  # so that colours with an opacity blend
    for shape in scene.shapes:
        _put(pen, shape, scene, SMOOTH * scale)
    return canvas.resize(size, Image.Resampling.LANCZOS)


def array(scene: Scene, pixels: int = 400) -> np.ndarray:
    """The same as numbers [height, width, 3] uint8."""
    return np.asarray(image(scene, pixels))


def frames(scenes: Iterable[Scene], pixels: int = 400) -> list[Image.Image]:
    """All of one size. Raises ValueError if there is no scene."""
    drawn = [image(scene, pixels) for scene in scenes]
    if not drawn:
        raise ValueError("a film needs at least one scene")
    width, height = (max(frame.size[i] for frame in drawn) for i in (0, 1))
    return [_fitted(frame, width, height) for frame in drawn]


def gif(frames: Sequence[Image.Image], frames_per_second: float = 10.0) -> bytes:
    """The file of an animation that repeats for ever and rests on its last frame for a second."""
    reduced = _reduced(frames)
    pause = round(1000 / frames_per_second)
    pauses = [pause] * (len(frames) - 1) + [max(pause, 1000)]
    data = io.BytesIO()
    reduced[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=reduced[1:],
        duration=pauses,
        loop=0,
        optimize=True,
    )
    return data.getvalue()


def _put(pen: ImageDraw.ImageDraw, shape: Shape, scene: Scene, scale: float) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        return (x - scene.left) * scale, (scene.bottom + scene.height - y) * scale

    x, y = at(shape.x, shape.y)
    if isinstance(shape, Circle):
        r = shape.radius * scale
        pen.ellipse((x - r, y - r, x + r, y + r), *_paint(shape))
    elif isinstance(shape, Box):
        pen.rectangle((x, y - shape.height * scale, x + shape.width * scale, y), *_paint(shape))
    elif isinstance(shape, Line):
        width = max(SMOOTH, round(shape.width * scale))
        pen.line((x, y, *at(shape.to_x, shape.to_y)), shape.colour, width)
    elif isinstance(shape, Text):
        font = _font(max(shape.size * scale, 1.0))
        pen.text((x, y), shape.words, shape.colour, font, anchor="mm")


@cache
def _font(size: float) -> Any:
    return ImageFont.load_default(size)  # reads a file


def _paint(shape: Circle | Box) -> tuple[str | None, str | None, int]:
    return shape.fill or None, shape.outline or None, SMOOTH


def _captioned(picture: Image.Image, caption: str) -> Image.Image:
    lines = caption.split("\n")
    height = picture.height + STRIP * len(lines) + MARGIN
    whole = Image.new("RGB", (picture.width, height), PAPER)
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for row, words in enumerate(lines):
        fonts = map(_font, LETTERS)
        fitting = (font for font in fonts if pen.textlength(words, font) <= picture.width - MARGIN)
        font = next(fitting, _font(LETTERS[-1]))
        place = (picture.width / 2, picture.height + STRIP * (row + 0.5) + MARGIN / 2)
        pen.text(place, words, INK, font, anchor="mm")
    return whole


def _reduced(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """In few colours, all the same: a fraction of the time and size of choosing for each frame."""
    width, height = frames[0].width // 2, frames[0].height // 2
    some = [*frames[:: -(-len(frames) // SAMPLED)], frames[-1]]
    sheet = Image.new("RGB", (width, height * len(some)))
    for row, frame in enumerate(some):
        sheet.paste(frame.resize((width, height), Image.Resampling.NEAREST), (0, row * height))
    palette = sheet.quantize(COLOURS)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def _fitted(frame: Image.Image, width: int, height: int) -> Image.Image:
    if frame.size == (width, height):
        return frame
    whole = Image.new("RGB", (width, height), PAPER)
    whole.paste(frame, ((width - frame.width) // 2, 0))
    return whole
