import warnings

import pytest
from matplotlib.image import imread

from curation.plots import DPI, WIDTH_IN, write_plots
from curation.schema import PROBLEM_TYPES
from curation.stats import measure
from tests.folders import kept_row, rejected_row, write_folder

NAMES = ["funnel", "survival", "composition", "lengths", "scores"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    kept = [kept_row(n, problem_type=PROBLEM_TYPES[n % 5], data_type=["image", "video"][n % 2]) for n in range(30)]
    rejected = [rejected_row(100 + n, ["filter:score", "media:missing", "verify:unscored"][n % 3]) for n in range(9)]
    return measure(write_folder(tmp_path_factory.mktemp("dataset"), kept, rejected))


def test_same_report_gives_the_same_bytes(report, tmp_path):
    first, second = (write_plots(report, tmp_path / name) for name in ("one", "two"))
    assert [path.stem for path in first] == NAMES
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_users_matplotlib_settings_change_nothing(report, tmp_path):
    import matplotlib as mpl

    plain = write_plots(report, tmp_path / "plain")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 20}):
        changed = write_plots(report, tmp_path / "changed")
        assert mpl.rcParams["font.size"] == 30
    assert [path.read_bytes() for path in plain] == [path.read_bytes() for path in changed]


def test_pictures_have_the_width_of_a_card_and_something_on_them(report, tmp_path):
    for path in write_plots(report, tmp_path):
        pixels = imread(path)
        assert pixels.shape[1] == WIDTH_IN * DPI
        assert pixels.std() > 0.02, path
        assert b"Software" not in path.read_bytes()


def test_empty_dataset_is_drawn_without_a_warning(tmp_path):
    report = measure(write_folder(tmp_path / "dataset"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(write_plots(report, tmp_path)) == len(NAMES)


def test_dollar_signs_and_long_reasons_are_drawn_as_text(tmp_path):
    rejected = [rejected_row(n, f"filter:{'long_reason_' * 9}$x^{n}") for n in range(5)]
    report = measure(write_folder(tmp_path / "dataset", [], rejected))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_plots(report, tmp_path)


def test_without_tokens_the_lengths_show_words_only(tmp_path):
    rows = [kept_row(n) for n in range(3)]
    uncounted = [row | {"observation_tokens": None, "think_tokens": None} for row in rows]
    heights = []
    for name, kept in (("tokens", rows), ("words", uncounted)):
        report = measure(write_folder(tmp_path / name / "dataset", kept))
        lengths = next(path for path in write_plots(report, tmp_path / name) if path.stem == "lengths")
        heights.append(imread(lengths).shape[0])
    assert heights[0] > heights[1]
