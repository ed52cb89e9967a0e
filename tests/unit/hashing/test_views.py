"""PDQ of the views of a picture: what a person sees in it, whatever the file stores."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageOps
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngInfo

from demo.pictures import encode, grainy, photo, truncated
from hashwacht.core.types import MIN_QUALITY, Fingerprint, Signal
from hashwacht.core.views import TURNS, ViewKind, view_kinds
from hashwacht.hashing import Plan
from hashwacht.hashing.decode import MAX_VIEWED_FRAMES
from hashwacht.hashing.views import MAX_HASHES

Hash = Callable[[bytes, Plan], Fingerprint]

ALL = Plan(("pdq",), views=tuple(ViewKind))
QUICK = Plan(("pdq",), views=tuple(ViewKind), quick=True)
NONE = Plan(("pdq",))
SHOWN = Plan(("pdq",), views=(ViewKind.SHOWN,))
PICTURE = photo(3, (900, 700))
STORED_FOR = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""How an upright picture is stored, by the EXIF tag that makes a browser show it upright."""


def nearest(fingerprint: Fingerprint, wanted: Signal) -> tuple[int, str]:
    """Return the distance of the signal that is nearest to another one, and its variant."""
    return min(
        ((int(signal.value, 16) ^ int(wanted.value, 16)).bit_count(), signal.variant)
        for signal in fingerprint.signals
    )


def animation(frames: int) -> bytes:
    """Return a GIF of different pictures with a border."""
    stills = [ImageOps.expand(photo(seed, (120, 90)), 12, "white") for seed in range(frames)]
    file = io.BytesIO()
    stills[0].save(file, "GIF", save_all=True, append_images=stills[1:])
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    """Return a PNG with the transparency of the image."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def original(fingerprint: Hash) -> Signal:
    return fingerprint(encode(PICTURE), NONE).signals[0]


def test_a_picture_has_no_view_unless_it_is_planned(fingerprint: Hash) -> None:
    assert [signal.variant for signal in fingerprint(encode(PICTURE), NONE).signals] == [""]


@pytest.mark.parametrize("form", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("tag", sorted(STORED_FOR))
def test_the_orientation_of_a_browser_is_shown(
    tag: int, form: str, fingerprint: Hash, original: Signal
) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    content = encode(PICTURE.transpose(STORED_FOR[tag]), form, exif=exif)
    result = fingerprint(content, SHOWN)
    assert [signal.variant for signal in result.signals] == ["", "shown"]
    distance, variant = nearest(result, original)
    assert (variant, distance <= 16) == ("shown", True)


@pytest.mark.parametrize("tag", sorted(STORED_FOR))
def test_a_small_texture_turned_by_exif_is_hashed_as_shown(tag: int, fingerprint: Hash) -> None:
    """Every second row of 128 is not sampled at all, so other rows count in the turned picture."""
    texture = grainy(photo(5, (128, 200)), 60)
    upright = fingerprint(encode(texture, "png"), NONE).signals[0]
    exif = Image.Exif()
    exif[0x0112] = tag
    turned = encode(texture.transpose(STORED_FOR[tag]), "png", exif=exif)
    distance, variant = nearest(fingerprint(turned, SHOWN), upright)
    assert (variant, distance <= 2) == ("shown", True)


def test_a_cut_png_is_shown_with_its_gamma(fingerprint: Hash, original: Signal) -> None:
    info = PngInfo()
    info.add(b"gAMA", (200_000).to_bytes(4, "big"))  # the square of light: brighter than stored
    file = io.BytesIO()
    PICTURE.point(lambda level: round(255 * (level / 255) ** 4.4)).save(file, "PNG", pnginfo=info)
    result = fingerprint(truncated(file.getvalue(), 0.95), SHOWN)
    assert result.damaged
    distance, variant = nearest(result, original)
    assert (variant, distance <= 31) == ("shown", True)


def test_a_picture_in_transparency_is_found(fingerprint: Hash, original: Signal) -> None:
    """The colours are one black; the picture is in the alpha channel, seen on a white page."""
    hidden = Image.new("RGBA", PICTURE.size)
    hidden.putalpha(ImageOps.invert(PICTURE.convert("L")))
    result = fingerprint(png(hidden), ALL)
    distance, variant = nearest(result, original)
    assert (variant, distance <= 16) == ("white", True)
    assert not result.signals[0].matchable


@pytest.mark.parametrize("plan", [ALL, QUICK], ids=["exact", "quick"])
@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_a_turned_copy_in_a_border_is_found(
    form: str, plan: Plan, fingerprint: Hash, original: Signal
) -> None:
    framed = ImageOps.expand(PICTURE.transpose(Transpose.ROTATE_90), 40, "white")
    result = fingerprint(encode(framed, form), plan)
    distance, variant = nearest(result, original)
    assert (variant, distance <= 20) == ("trim/rotate270", True)


def test_regions_are_equal_in_quick_and_exact_hashes(fingerprint: Hash) -> None:
    content = encode(ImageOps.expand(photo(5, (2400, 1800)), 100, "white"), "jpeg")
    quick, exact = (
        {signal for signal in fingerprint(content, plan).signals if "trim" in signal.variant}
        for plan in (QUICK, ALL)
    )
    assert quick == exact
    assert len(exact) == 1 + len(TURNS)
    assert not any(signal.error_bits for signal in exact)


def test_a_picture_has_a_dozen_hashes_at_most(fingerprint: Hash) -> None:
    layers = ImageOps.expand(PICTURE, 30, "white").convert("RGBA")
    layers.putalpha(photo(9, layers.size).convert("L"))
    signals = fingerprint(png(layers), ALL).signals
    assert len(signals) <= MAX_HASHES * (1 + len(TURNS))
    assert len({signal.value for signal in signals}) == len(signals)


def test_only_some_frames_have_all_views(fingerprint: Hash) -> None:
    result = fingerprint(animation(40), ALL)
    framed = {s.variant.split("/")[0] for s in result.signals if "trim" in s.variant}
    turned = {s.variant.split("/")[0] for s in result.signals if s.variant.endswith("rotate90")}
    assert len(framed) == MAX_VIEWED_FRAMES
    assert {"frame:0", "frame:39"} <= framed
    assert len(turned) == 40


def test_the_recipe_names_every_kind_of_view(fingerprint: Hash) -> None:
    recipe = fingerprint(encode(PICTURE), ALL).recipe
    assert recipe[0] == "pdq/1"
    assert [entry.split("/")[2] for entry in recipe[1:-1]] == [kind.value for kind in ViewKind]


@pytest.mark.parametrize(
    ("variant", "kinds"),
    [
        ("", set[str]()),
        ("quick", set[str]()),
        ("frame:12/rotate90", {"turned"}),
        ("white/trim/flop/quick", {"shown", "trim", "turned"}),
        ("shown/screen", {"shown", "screen"}),
        ("an-operators-own", set[str]()),
    ],
)
def test_a_variant_names_the_kinds_of_view(variant: str, kinds: set[str]) -> None:
    assert view_kinds(variant) == kinds


def test_a_flat_picture_has_no_reliable_view(fingerprint: Hash) -> None:
    signals = fingerprint(encode(Image.new("RGB", (500, 400), "red")), ALL).signals
    assert all((signal.quality or 0) < MIN_QUALITY for signal in signals)
