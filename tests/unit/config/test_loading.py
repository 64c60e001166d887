"""Settings: every refusal is one line that names file, key, value and what is allowed."""

from pathlib import Path

import pytest

from agent.config import load_settings
from agent.errors import ConfigError

GOOD = """
[device]
device_id = "cam01"
kind = "desk"

[paths]
state_dir = "state"

[camera]
driver = "replay"
footage = "clips"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "agent.toml"
    file.write_text(text)
    return file


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text))
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder / "agent.toml") in line
    assert caught.value.exit_code == 2
    return line


def test_defaults_fill_what_the_file_leaves_out(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.recorder.pre_roll_s == 30.0
    assert settings.uplink.part_bytes == 256 * 1024


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert settings.paths.state_dir == tmp_path / "state"
    assert settings.camera.footage == tmp_path / "clips"


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ("[recorder]\npre_rol_s = 3", "recorder.pre_rol_s"),
        ("[recoder]\npre_roll_s = 3", "recoder"),
        ('[recorder]\npre_roll_s = "long"', "recorder.pre_roll_s"),
        ("[recorder]\npre_roll_s = 4000", "recorder.pre_roll_s"),
        ("[supervisor]\nwatchdog_s = 1", "supervisor.watchdog_s"),
        ('[tagger]\naccelerator = "npu"', "tagger.accelerator"),
        ('[tagger]\ndelegate = "libvx_delegate.so"', "tagger.delegate"),
        ('[tagger]\naccelerator = "tflite"\ndelegate_options = {a = "1"}', "delegate_options"),
        (
            '[tagger]\naccelerator = "tflite"\nproviders = ["CUDAExecutionProvider"]',
            "tagger.providers",
        ),
        (
            '[tagger.provider_options.TensorrtExecutionProvider]\ntrt_int8_enable = "1"',
            "tagger.provider_options",
        ),
        ("[tagger.provider_options.CPUExecutionProvider]\narena = 1", "tagger.provider_options"),
        ("[uplink]\nport = 0", "uplink.port"),
        ('[network]\nquiet_hours = "22-06"', "network.quiet_hours"),
        ('[network]\nquiet_hours = "06:00-06:00"', "network.quiet_hours"),
        ('[network]\ninterfaces = ["wlan 0"]', "network.interfaces"),
        ("[tagger]\nthreads = 1.5", "tagger.threads"),
        ('[encoder]\npreset = "placebo"', "encoder.preset"),
    ],
)
def test_a_typo_a_wrong_type_or_a_value_out_of_range_is_named(
    tmp_path: Path, extra: str, named: str
) -> None:
    assert named in refusal(tmp_path, GOOD + extra)


def test_the_refused_value_is_shown(tmp_path: Path) -> None:
    assert "4000" in refusal(tmp_path, GOOD + "[recorder]\npre_roll_s = 4000")


def test_a_missing_file_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config"):
        load_settings(tmp_path / "none.toml")


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    assert "line 1" in refusal(tmp_path, "[device\n")


def test_binary_rubbish_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"\xff\xfe\x00rubbish")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(file)


def test_a_camera_refuses_replayed_footage(tmp_path: Path) -> None:
    assert "camera.driver" in refusal(tmp_path, GOOD.replace('"desk"', '"camera"'))


def camera(lines: str, more: str = "") -> str:
    device = '[device]\ndevice_id = "cam01"'
    return f"{device}\n[camera]\n{lines}\n{more}"


PIPELINE = """'lens ! appsink name=h264 lens. ! appsink name=lores'"""


def test_a_camera_takes_a_real_driver(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, camera(f'driver = "gstreamer"\npipeline={PIPELINE}')))
    assert settings.device.kind == "camera"
    assert settings.camera.pipeline == "lens ! appsink name=h264 lens. ! appsink name=lores"


@pytest.mark.parametrize(
    ("lines", "more", "key", "said"),
    [
        ('driver = "gstreamer"\nfootage = "clips"', "", "camera.footage", "replay alone"),
        (
            f'driver = "replay"\nfootage = "clips"\npipeline = {PIPELINE}',
            "",
            "camera.pipeline",
            "gstreamer alone",
        ),
        (
            'driver = "gstreamer"\npipeline = "lens ! appsink name=h264"',
            "",
            "camera.pipeline",
            "no appsink named lores",
        ),
        ('driver = "gstreamer"\nnumber = 9', "", "camera.number", "<= 7"),
        (
            'driver = "replay"\nfootage = "clips"',
            '[encoder]\ndriver = "hardware"',
            "encoder.driver",
            "no hardware encoder",
        ),
    ],
)
def test_camera_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, lines: str, more: str, key: str, said: str
) -> None:
    line = refusal(tmp_path, camera(lines, more))
    assert key in line
    assert said in line


def test_replay_without_footage_is_refused(tmp_path: Path) -> None:
    assert "camera.footage" in refusal(tmp_path, GOOD.replace('footage = "clips"', ""))


def test_a_window_smaller_than_a_part_is_refused(tmp_path: Path) -> None:
    text = GOOD + "[uplink]\npart_bytes = 1048576\nwindow_cap_bytes = 65536"
    assert "window_cap_bytes" in refusal(tmp_path, text)


def test_a_budget_that_gives_no_slack_is_refused(tmp_path: Path) -> None:
    text = GOOD + "[retention]\nspool_budget_bytes = 1048576\nslack_bytes = 1048576"
    assert "retention.spool_budget_bytes" in refusal(tmp_path, text)


def test_a_battery_that_stops_before_it_warns_is_refused(tmp_path: Path) -> None:
    text = GOOD + "[power]\nwarn_below_percent = 5\nstop_below_percent = 10"
    assert "power.stop_below_percent" in refusal(tmp_path, text)


def test_a_device_id_that_would_break_a_topic_is_refused(tmp_path: Path) -> None:
    assert "device.device_id" in refusal(tmp_path, GOOD.replace("cam01", "cam/01"))
