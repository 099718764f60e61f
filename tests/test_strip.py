"""The strip shows the very frames that the sampler takes, or says in words why there are none."""

import asyncio
import base64
import io
import os
import re
import shlex
import sys

import numpy as np
import pytest
from PIL import Image

import app.strip
from app.strip import MOST_FRAMES, Strips, read_sampling
from curation.gops import sample_indices
from curation.video import VideoConfig
from tests.clips import frame_number, truncate, write_picture, write_sound_with_cover, write_video
from tests.folders import kept_row
from tests.pages import HOSTILE, Page, storable


def provenance(engine=None, **video):
    """As stats/provenance.json: a run whose section `video` has these changes."""
    config = {"video": {**VideoConfig().model_dump(mode="json"), **video}}
    if engine is not None:
        config["generate"] = {"engine": engine}
    return {"source": "videor1", "tokenizer": None, "config": config, "media_repo": None, "note": None}


def row(path="./clip.mp4", **changes):
    return kept_row(1, path=path, **{"media_sha256": None, **changes})


def render(root, *rows, source=None):
    """The strips of these rows, in order."""

    async def all_of_them():
        async with Strips("org/name@v1.0.0", source, root) as strips:
            return [await strips.render(each) for each in rows]

    return asyncio.run(all_of_them())


def pictures(markup):
    """The frames of a strip, as (H, W, 3)."""
    sources = [value for value in Page(markup).attributes("src") if value.startswith("data:image/jpeg;base64,")]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2])))) for value in sources]


def command(markup):
    """The words of the command that a note gives."""
    found = re.search(r'<pre class="vp-command" tabindex="0">(.*?)</pre>', markup, re.DOTALL)
    return shlex.split(Page(found[1]).text)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    write_video(folder / "clip.mp4", num_frames=50, fps=25)
    write_picture(folder / "picture.png")
    truncate(folder / "clip.mp4", folder / "torn.mp4", keep=0.5)
    write_sound_with_cover(folder / "sound.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video at all")
    (folder / "folder.mp4").mkdir()
    return folder


@pytest.mark.parametrize("num_frames", [1, 5, 16, 64])
def test_frames_are_the_ones_that_the_sampler_takes(root, num_frames):
    (markup,) = render(root, row(), source=provenance(num_frames=num_frames))
    indices = sample_indices(50, num_frames)
    assert [frame_number(picture) for picture in pictures(markup)] == indices
    assert [float(value) for value in Page(markup).attributes("data-seek")] == pytest.approx(
        [index / 25 for index in indices], abs=1e-3
    )
    assert all(picture.shape[0] <= 120 for picture in pictures(markup))
    assert f"{len(indices)} of 50 frames" in Page(markup).text


def test_sampling_of_the_run_is_taken_and_said(root):
    (markup,) = render(root, row(), source=provenance(num_frames=3, max_pixels=56 * 56))
    text = Page(markup).text
    assert "as the dataset's provenance says: at most 3 frames of 3,136 pixels" in text
    assert "3 of 50 frames at 56 x 28 pixels" in text


@pytest.mark.parametrize("source", [None, {}, {"config": None}, {"config": {"video": None}}, {"config": [1]}])
def test_defaults_are_taken_and_said_where_the_dataset_does_not_say(source):
    sampling = read_sampling(source)
    assert sampling.config.num_frames == VideoConfig().num_frames
    assert "does not say how its frames were taken; these are the defaults" in sampling.told


@pytest.mark.parametrize("video", [{"num_frames": -1}, {"num_frames": "many"}, {"new_option": 1}, {"max_pixels": 1e99}])
def test_sampling_that_cannot_be_used_is_not_taken_in_silence(video):
    sampling = read_sampling(provenance(**video))
    assert sampling.config.num_frames == VideoConfig().num_frames
    assert "cannot be used" in sampling.told
    assert next(iter(video)) in sampling.told


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ({"kind": "openai", "send": "frames"}, "the very frames that the model was sent"),
        ({"kind": "openai", "send": "video_frames"}, "the very frames that the model was sent"),
        ({"kind": "openai", "send": "file_url"}, "frames of its own"),
        ({"kind": "openai", "send": "none"}, "text only"),
        ({"kind": "scripted"}, "scene record"),
        ({"kind": "a new one"}, "not recorded"),
        ("what", "not recorded"),
        (None, "not recorded"),
    ],
)
def test_what_the_model_was_sent_is_not_overstated(engine, words):
    assert words in read_sampling(provenance(engine)).told


def test_decord_is_replaced_in_words_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    sampling = read_sampling(provenance(reader="decord"))
    assert sampling.config.reader == "pyav"
    assert "decord, which the run read with, is not installed" in sampling.told


@pytest.mark.parametrize("video", [{"num_frames": MOST_FRAMES + 1}, {"num_frames": 200, "max_pixels": 10**8}])
def test_a_dataset_cannot_make_the_viewer_decode_without_bound(root, video):
    (markup,) = render(root, row(), source=provenance(**video))
    assert "more than the viewer decodes" in markup
    assert not pictures(markup)


def test_limits_on_one_file_are_never_wider_than_ours():
    config = read_sampling(
        provenance(timeout_s=1e6, num_workers=500, max_source_pixels=10**12, max_file_bytes=10**15)
    ).config
    assert config.timeout_s <= 60
    assert config.num_workers <= 4
    assert config.max_source_pixels == VideoConfig().max_source_pixels
    assert config.max_file_bytes == VideoConfig().max_file_bytes


def test_a_picture_is_one_and_has_no_time(root):
    (markup,) = render(root, row("picture.png", data_type="image"))
    (picture,) = pictures(markup)
    assert frame_number(picture) == 5
    assert not Page(markup).attributes("data-seek")


def test_missing_file_is_a_note_with_the_command_that_fetches_it(root):
    (markup,) = render(root, row("clips/gone.mp4", data_source="NeXT QA"))
    page = Page(markup)
    assert "clips/gone.mp4" in page.texts
    assert "NeXT QA" in page.texts
    words = command(markup)
    assert words[:6] == ["python", "-m", "curation", "media", "fetch", "org/name@v1.0.0"]
    assert words[words.index("--source") + 1] == "NeXT QA"
    assert words[words.index("--media-root") + 1] == str(root)


def test_command_names_no_source_of_media_where_the_dataset_does():
    without, with_repo = render(None, row(), source=provenance()) + render(
        None, row(), source={**provenance(), "media_repo": "Video-R1/Video-R1-data"}
    )
    assert "--from" in command(without)
    assert "--from" not in command(with_repo)


def test_viewer_without_media_says_how_to_get_them():
    (markup,) = render(None, row())
    assert "not told where the media lie" in markup
    assert command(markup)[-2:] == ["--media-root", "media"]


@pytest.mark.parametrize("path", ["../secret.mp4", "/etc/passwd", "a/../../b", "\\\\host\\share", "x\0y", "."])
def test_a_path_out_of_the_root_is_not_followed(root, path):
    (root.parent / "secret.mp4").write_bytes((root / "clip.mp4").read_bytes())
    (markup,) = render(root, row(path))
    assert not pictures(markup)
    assert "not followed" in markup or "missing" in markup or "no such media file" in markup


def test_a_link_out_of_the_root_is_not_followed(root, tmp_path):
    write_picture(tmp_path / "secret.png")
    link = root / "link.png"
    link.symlink_to(tmp_path / "secret.png")
    (markup,) = render(root, row("link.png", data_type="image"))
    link.unlink()
    assert "not followed" in markup


@pytest.mark.parametrize("name", ["torn.mp4", "sound.mp4", "empty.mp4", "text.mp4", "folder.mp4", "gone.mp4"])
def test_unusable_file_is_a_note_and_no_other_picture(root, name):
    (markup,) = render(root, row(name))
    assert not pictures(markup)
    assert name in markup
    assert command(markup)


def test_other_file_under_the_same_name_is_not_shown_as_the_one(root):
    (markup,) = render(root, row(media_sha256="00" * 32))
    assert not pictures(markup)
    assert "not the one that the trace was made from" in markup


def test_the_right_file_is_said_to_be_it_and_an_unknown_one_is_not(root):
    right = app.strip.hashlib.sha256((root / "clip.mp4").read_bytes()).hexdigest()
    proven, unproven = render(root, row(media_sha256=right), row())
    assert "The file is the one that the trace was made from." in proven
    assert "No hash is recorded" in unproven


def test_file_of_another_kind_than_the_question_is_a_note(root):
    (markup,) = render(root, row("picture.png", data_type="video"))
    assert "The question says video, but the file is of kind image." in markup
    assert not pictures(markup)


@pytest.mark.parametrize("changes", [{"path": None}, {"path": ""}, {"data_source": None}, {"data_type": None}])
def test_row_that_lacks_a_column_is_no_error(root, changes):
    (markup,) = render(root, row(**changes))
    assert Page(markup).elements
    assert "None" not in markup


@pytest.mark.parametrize("text", HOSTILE)
def test_a_note_about_a_hostile_row_is_text(root, text):
    hostile, plain = render(root, row(text, data_source=text), row("word", data_source="word"))
    allowed = Page(plain).shapes | {("bdi", ("class", "title"))}
    assert Page(hostile).shapes <= allowed
    assert storable(text) in Page(hostile).text
    if "fetch" in hostile:
        assert storable(text) in [storable(word) for word in command(hostile)]


def test_a_file_is_decoded_once_and_anew_when_it_changed(tmp_path):
    clip = tmp_path / "clip.mp4"
    write_video(clip, num_frames=10)
    decoded = []

    async def watch():
        async with Strips("x", None, tmp_path) as strips:
            read = strips._pool.frames

            async def frames(path):
                decoded.append(path)
                return await read(path)

            strips._pool.frames = frames
            first = await strips.render(row())
            assert await strips.render(row()) == first
            assert len(decoded) == 1
            write_video(clip, num_frames=5)
            os.utime(clip, ns=(1, 1))
            return await strips.render(row())

    assert "5 of 5 frames" in Page(asyncio.run(watch())).text
    assert len(decoded) == 2


def test_only_so_many_strips_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(app.strip, "MOST_STRIPS", 2)
    for number in range(4):
        write_picture(tmp_path / f"{number}.png", size=(64, 64))

    async def all_of_them():
        async with Strips("x", None, tmp_path) as strips:
            for number in range(4):
                assert pictures(await strips.render(row(f"{number}.png", data_type="image")))
            return [path.name for path, *_ in strips._strips]

    assert asyncio.run(all_of_them()) == ["2.png", "3.png"]


def test_many_rows_at_once_are_all_answered(root):
    async def all_at_once():
        async with Strips("x", None, root) as strips:
            rows = [row(), row("gone.mp4"), row("text.mp4"), row("picture.png", data_type="image")] * 5
            return await asyncio.gather(*(strips.render(each) for each in rows))

    found = asyncio.run(all_at_once())
    assert [len(pictures(markup)) for markup in found] == [16, 0, 0, 1] * 5


def test_times_read_as_a_clock(tmp_path):
    write_video(tmp_path / "clip.mp4", num_frames=3, times_ms=[0, 59_960, 3_725_400])
    (markup,) = render(tmp_path, row())
    assert [text for text in Page(markup).texts if re.fullmatch(r"[\d:.]+", text)] == ["0:00.0", "1:00.0", "62:05.4"]
