"""The media of the invented rows, as the archives unpack: what lies beside them on purpose is a trap."""

from tests.benchmark_fixtures.hub_rows import MVBENCH

_MVBENCH_FOLDERS = {
    "action_prediction": "star/Charades_v1_480",
    "object_interaction": "star/Charades_v1_480",
    "fine_grained_action": "Moments_in_Time_Raw/videos",
    "unexpected_action": "FunQA_test/test",
    "scene_transition": "scene_qa/video",
    "object_shuffle": "perception/videos",
    "action_count": "perception/videos",
    "state_change": "perception/videos",
    "character_order": "perception/videos",
    "fine_grained_pose": "nturgbd_convert",
    "egocentric_navigation": "vlnqa",
}
_MVBENCH = [
    "star/Charades_v1_480/AAAAA.mp4",  # whole: the row's bounds apply
    "sta/sta_video_segment/BBBBB.mp4",  # cut already
    "ssv2_video/100.webm",
    "data0613/clevrer/video_validation/video_10000.mp4",  # a zip that nests
    "tvqa/video_fps3_hq_segment/show_s01e01_seg02_clip_05.mp4",
    *(
        f"{_MVBENCH_FOLDERS.get(task, 'clevrer/video_validation')}/{row['video']}"
        for task, rows in MVBENCH.items()
        for row in rows
        if row["video"].startswith(task)
    ),
]

HUB = {
    "vsi_bench": ["arkitscenes/10000001.mp4", "scannet/10000001.mp4", "scannetpp/10000001.mp4"],
    "videommmu": [
        "Science/dev_Biology_3.mp4",
        "Medicine/validation_Basic_Medical_Science_10.mp4",
        "Science/test_Physics_7.mp4",
        "question_only/dev_Biology_3_image.mp4",
        "question_only/dev_Biology_3.mp4",
    ],
    "mmvu": ["videos/Chemistry/0.mp4", "videos/Computer_Science/4.mp4"],
    "vcr_bench": ["v1/videos/video/invented/clip#0__0-05-55.mp4", "v1/videos/video/invented/clip#1__0-05-55.mp4"],
    "mvbench": _MVBENCH,
    "tempcompass": ["videos/200.mp4", "videos/200_reverse.mp4", "videos/201.mp4"],
    "video_mme": ["data/aaaaaaaaaaa.mp4", "data/bb-bb_bbbbb.MP4", "data/ccccccccccc.mkv"],
}
