"""Pictures of every format: read as they are shown, or refused with a reason that holds no path of this machine."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curation.errors import MediaError, without_paths
from curation.gops import Span
from curation.media import resolve_media
from curation.video import VideoConfig, probe, read_frames
from tests import clips

CONFIG = VideoConfig(min_pixels=28 * 28)
RED = (250, 10, 10)
SAVED = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "AVIF": ".avif"}
SAVED |= {"JPEG2000": ".jp2"}


def saved(format: str, picture: Image.Image | None = None, **options: object) -> bytes:
    file = io.BytesIO()
    (picture or Image.new("RGB", (56, 56), RED)).save(file, format, **options)
    return file.getvalue()


def write(tmp_path: Path, content: bytes, name: str = "picture") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def middle(path: Path) -> tuple[int, ...]:
    frame = read_frames(path, CONFIG).frames[0]
    return tuple(int(value) for value in frame[frame.shape[0] // 2, frame.shape[1] // 2])


def refused(path: Path) -> MediaError:
    with pytest.raises(MediaError) as caught:
        probe(path, CONFIG)
    return caught.value


@pytest.mark.parametrize("format", SAVED)
@pytest.mark.parametrize("name", ["right", "wrong.mp4", "wrong.tga"])
def test_every_read_format_is_told_by_its_bytes(tmp_path, format, name):
    path = write(tmp_path, saved(format), name)
    assert probe(path, CONFIG).kind == "image"
    assert max(abs(one - two) for one, two in zip(middle(path), RED, strict=True)) < 12


def test_big_tiff_is_read(tmp_path):
    assert middle(write(tmp_path, saved("TIFF", big_tiff=True))) == RED


def test_avif_with_alpha_is_read_whatever_its_major_brand(tmp_path):
    content = saved("AVIF", Image.new("RGBA", (56, 56), (*RED, 0)))
    assert middle(write(tmp_path, content)) == (255, 255, 255)
    other_brand = content.replace(b"ftypavif", b"ftypmif1", 1)
    assert middle(write(tmp_path, other_brand)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("content", "name", "format"),
    [
        (struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(99), "photo.jpg", "HEIC"),
        (struct.pack(">I", 24) + b"ftypmif1\0\0\0\0mif1heix" + bytes(99), "photo", "HEIC"),
        (saved("DDS"), "a.dds", "DDS"),
        (saved("TGA"), "a.tga", "TGA"),
        (saved("TGA", Image.new("L", (9, 9))), "A.TGA", "TGA"),
        (saved("ICO"), "a.ico", "ICO"),
        (b"8BPS\0\1" + bytes(99), "a.psd", "PSD"),
        (b"\xff\x0a" + bytes(99), "a.jxl", "JPEG XL"),
    ],
)
def test_other_picture_formats_are_refused_by_name(tmp_path, content, name, format):
    fault = refused(write(tmp_path, content, name))
    assert fault.reason == "unsupported" and str(fault).startswith(format)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (np.full((9, 9), 0.5, np.float32), 128),
        (np.full((9, 9), 1.0, np.float32), 255),
        (np.full((9, 9), 200.0, np.float32), 200),
        (np.full((9, 9), 65535.0, np.float32), 255),
        (np.full((9, 9), 200, np.int32), 200),
        (np.full((9, 9), 51400, np.int32), 200),
        (np.full((9, 9), 51400, np.uint16), 200),
        (np.zeros((9, 9), np.float32), 0),
    ],
)
def test_grey_of_more_than_8_bits_is_scaled_and_never_clipped(tmp_path, values, shown):
    path = write(tmp_path, saved("TIFF", Image.fromarray(values)))
    assert middle(path) == (shown,) * 3


@pytest.mark.parametrize("value", [-1.0, 65536.0, 1e30, float("nan"), float("inf"), -(2**31), 2**31 - 1])
def test_grey_of_no_known_range_is_refused(tmp_path, value):
    kind = np.float32 if isinstance(value, float) else np.int32
    path = write(tmp_path, saved("TIFF", Image.fromarray(np.full((9, 9), value, kind))))
    with pytest.raises(MediaError) as caught:
        read_frames(path, CONFIG)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_is_turned_by_its_exif(tmp_path, format):
    picture = Image.new("RGB", (80, 40), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = probe(write(tmp_path, saved(format, picture, exif=exif)), CONFIG)
    assert (found.width, found.height) == (40, 80)


@given(st.binary(max_size=60), st.sampled_from(["PNG", "JPEG", "WEBP"]))
def test_broken_exif_is_no_exif(tmp_path_factory, junk, format):
    path = tmp_path_factory.mktemp("exif") / "a"
    path.write_bytes(saved(format, exif=b"Exif\0\0" + junk))
    assert max(abs(one - two) for one, two in zip(middle(path), RED, strict=True)) < 12


@pytest.mark.parametrize("text", ["exif\n      zz\n", "exif\n 4\n00", "\n\nexif\n"])
def test_broken_exif_as_text_in_a_png_is_no_exif(tmp_path, text):
    from PIL import PngImagePlugin

    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("Raw profile type exif", text)
    assert middle(write(tmp_path, saved("PNG", pnginfo=chunk))) == RED


@given(st.sampled_from(sorted(SAVED)), st.integers(4, 400), st.binary(max_size=40))
def test_a_refusal_holds_no_path_of_this_machine(tmp_path_factory, format, kept, junk):
    path = tmp_path_factory.mktemp("secret folder") / "sub" / "a.mp4"
    path.parent.mkdir()
    path.write_bytes(saved(format)[:kept] + junk)
    try:
        probe(path, CONFIG)
    except MediaError as fault:
        assert "/" not in str(fault) and "secret" not in str(fault)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cannot open '/home/me/My Data/x.mp4'", "cannot open '.../x.mp4'"),
        ("file:///data/root/x.mp4 is gone", ".../x.mp4 is gone"),
        ("no file './Folder/x.mp4', 1/2 and/or 3/4", "no file './Folder/x.mp4', 1/2 and/or 3/4"),
        ("http://127.0.0.1:8000/v1/chat: 500", "http://127.0.0.1:8000/v1/chat: 500"),
        ("in /mnt/a/b/c.py line 3", "in .../c.py line 3"),
        ('{"path": "/mnt/a/b.mp4"}', '{"path": ".../b.mp4"}'),
    ],
)
def test_absolute_paths_keep_their_last_part(text, wanted):
    assert without_paths(text) == wanted


@given(st.text(max_size=200))
def test_any_text_without_paths_is_itself(text):
    assert "/" in text or without_paths(text) == text


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_a_name_is_found_in_another_unicode_spelling(tmp_path, on_disk, asked):
    import unicodedata

    name = "Fräulein/Über año.mp4".encode().decode()
    path = tmp_path / unicodedata.normalize(on_disk, name)
    path.parent.mkdir()
    path.touch()
    assert resolve_media(tmp_path, unicodedata.normalize(asked, name)) == path
    with pytest.raises(MediaError, match="no file"):
        resolve_media(tmp_path, unicodedata.normalize(asked, "Fräulein/Uber ano.mp4"))
    with pytest.raises(MediaError) as caught:
        resolve_media(tmp_path / "Fräulein", unicodedata.normalize(asked, "../Fräulein/Über año.mp4"))
    assert caught.value.reason in ("outside_root", "missing")


MOVING = {"GIF": {}, "WEBP": {"lossless": True}, "PNG": {}, "AVIF": {"quality": 95}}
DURATIONS_MS = [100, 250, 40, 700, 90, 120]


def animation(format: str, durations_ms: list[int] = DURATIONS_MS, size: tuple[int, int] = (75, 43)) -> bytes:
    """Frames that can be told apart, a single duration each."""
    frames = [Image.fromarray(clips.draw_frame(number * 9 + 1, size)) for number in range(len(durations_ms))]
    options = {"append_images": frames[1:], "duration": durations_ms, "save_all": True, **MOVING[format]}
    return saved(format, frames[0], **options)


@pytest.mark.parametrize("format", MOVING)
def test_every_moving_picture_is_a_clip_with_its_own_times(tmp_path, format):
    path = write(tmp_path, animation(format))
    frames = read_frames(path, VideoConfig(num_frames=4, min_pixels=75 * 43))
    assert (frames.kind, frames.num_source_frames, frames.indices) == ("video", 6, (0, 2, 3, 5))
    assert frames.timestamps_s == pytest.approx((0.0, 0.35, 0.39, 1.18))
    assert [clips.frame_number(frame) for frame in frames.frames] == [1, 19, 28, 46]
    found = probe(path, CONFIG)
    assert (found.kind, found.num_frames, found.width, found.height) == ("video", 6, 75, 43)
    assert (found.duration_s, found.fps) == (pytest.approx(1.3), pytest.approx(6 / 1.3))


@pytest.mark.parametrize("format", MOVING)
def test_a_part_of_a_moving_picture_is_sampled_alike(tmp_path, format):
    path = write(tmp_path, animation(format))
    frames = read_frames(path, VideoConfig(num_frames=9), Span(0.3, 1.0))
    assert frames.indices == (2, 3) and frames.num_source_frames == 2


@pytest.mark.parametrize("format", MOVING)
def test_a_moving_picture_of_one_frame_stands_still(tmp_path, format):
    assert probe(write(tmp_path, animation(format, [100])), CONFIG).kind == "image"


def test_a_gif_frame_of_no_time_is_shown_as_browsers_do(tmp_path):
    frames = read_frames(write(tmp_path, animation("GIF", [0, 0, 50])), CONFIG)
    assert frames.timestamps_s == pytest.approx((0.0, 0.1, 0.2))


@pytest.mark.parametrize("format", MOVING)
@given(kept=st.integers(20, 4000), junk=st.binary(max_size=9))
def test_a_torn_moving_picture_is_read_or_refused(tmp_path_factory, format, kept, junk):
    path = tmp_path_factory.mktemp("torn") / "a"
    path.write_bytes(animation(format, [100, 100])[:kept] + junk)
    try:
        assert read_frames(path, CONFIG).frames.size
    except MediaError as fault:
        assert "/" not in str(fault)


def test_pages_are_no_movement(tmp_path):
    pages = [Image.new("RGB", (20, 20), RED) for _ in range(3)]
    assert (
        probe(write(tmp_path, saved("TIFF", pages[0], save_all=True, append_images=pages[1:])), CONFIG).kind == "image"
    )
