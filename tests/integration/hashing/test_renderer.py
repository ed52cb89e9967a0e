"""The browser that judges what people see renders on a canvas what it shows on a page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from demo.pictures import encode, photo, truncated
from support.browser.renderer import Renderer, distance, pdq

PHOTO = photo(1, (320, 240))


def test_pixels_are_those_of_the_file(renderer: Renderer) -> None:
    rendering = renderer.render(encode(PHOTO, "png"))
    assert rendering is not None
    assert rendering.size == (320, 240)
    assert np.array_equal(rendering.white, np.asarray(PHOTO))
    assert rendering.black is rendering.white


def test_a_picture_is_turned_as_its_exif_says(renderer: Renderer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    rendering = renderer.render(encode(PHOTO, "jpeg", exif=exif.tobytes()))
    assert rendering is not None
    assert rendering.size == (240, 320)
    turned = PHOTO.transpose(Image.Transpose.ROTATE_270)
    assert distance(rendering.hashes[0], pdq(np.asarray(turned))) <= 4


def test_the_page_is_visible_where_it_is_transparent(renderer: Renderer) -> None:
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (10, 20, 30, 255))
    file = io.BytesIO()
    picture.save(file, "PNG")
    rendering = renderer.render(file.getvalue())
    assert rendering is not None
    assert rendering.white.tolist() == [[[255, 255, 255], [10, 20, 30]]]
    assert rendering.black.tolist() == [[[0, 0, 0], [10, 20, 30]]]


def test_a_truncated_picture_is_displayed_in_part(renderer: Renderer) -> None:
    rendering = renderer.render(truncated(encode(PHOTO, "png"), 0.5))
    assert rendering is not None
    assert np.array_equal(rendering.white[:90], np.asarray(PHOTO)[:90])
    assert (rendering.white[200:] == 255).all()


def test_nothing_is_displayed_of_other_files(renderer: Renderer) -> None:
    assert renderer.render(b"plain text") is None
    assert renderer.render(b"") is None


def test_svg_is_displayed_by_its_media_type(renderer: Renderer) -> None:
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="7"/>'
    assert renderer.render(drawing) is None
    rendering = renderer.render(drawing, "image/svg+xml")
    assert rendering is not None
    assert rendering.size == (9, 7)


def test_many_files_are_rendered_in_order(renderer: Renderer) -> None:
    files = [(encode(photo(0, (8 + index, 8)), "png"), "") for index in range(20)]
    sizes = [rendering.size for rendering in renderer.render_all(files) if rendering]
    assert sizes == [(8 + index, 8) for index in range(20)]


def test_a_large_rendering_is_scaled(renderer: Renderer) -> None:
    rendering = renderer.render(encode(PHOTO, "png"), most=320 * 240 // 4)
    assert rendering is not None
    assert rendering.size == (320, 240)
    assert rendering.white.shape == (120, 160, 3)
