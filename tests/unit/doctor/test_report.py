"""The doctor: a fault in any part is one line with fact and remedy, and the exit code tells."""

import re
from pathlib import Path

import msgspec
import pytest

from agent.config import Settings, load_settings
from agent.crypto.keys import load_private_key
from agent.doctor import PARTS, Finding, Visit, examine, examine_part, run_doctor, table
from agent.doctor.board import check_power
from firmware_tools.dev_fleet import Fleet, make_fleet
from firmware_tools.local_broker import LocalBroker
from tests.footage_maker import SHIPPED
from tests.order_maker import key_orders, keys_token, recipient

CONFIG = """
[device]
device_id = "{device_id}"
kind = "desk"
[paths]
state_dir = "state"
runtime_dir = "run"
[camera]
footage = "{footage}"
[tagger]
bundle = "{bundle}"
[uplink]
host = "localhost"
port = {port}
ca_file = "{files}/tls/ca.pem"
cert_file = "{files}/tls/device.pem"
key_file = "{files}/tls/device.key"
[trust]
recipients_file = "{files}/recipients.txt"
receipt_key_file = "{files}/receipt.pub.pem"
custody_key_file = "{files}/custody.key"
"""
BUNDLE = Path(__file__).resolve().parents[3] / "models" / "sightline-reference" / "1"


@pytest.fixture
def settings(tmp_path: Path, fleet: Fleet) -> Settings:
    return _settings(tmp_path, fleet)


def _settings(folder: Path, fleet: Fleet, device_id: str = "cam01") -> Settings:
    file = folder / "agent.toml"
    file.write_text(
        CONFIG.format(
            device_id=device_id,
            footage=SHIPPED,
            bundle=BUNDLE,
            port=fleet.port,
            files=fleet.device("cam01").directory,
        )
    )
    return load_settings(file)


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.part: finding for finding in examine(settings)}


def finding(settings: Settings, part: str) -> Finding:
    return examine_part(part, Visit(settings, None))


def test_every_part_of_a_provisioned_camera_is_good_but_the_recorder_that_does_not_run(
    settings: Settings, broker: LocalBroker
) -> None:
    assert broker.is_running
    findings = found(settings)
    assert {part for part, each in findings.items() if each.state == "bad"} == set()
    assert findings["recorder"].state == "warn"
    for part in ("camera", "model", "custody key", "collector key", "certificate"):
        assert findings[part].state == "good", findings[part]
    for part in ("encoder", "accelerator"):  # on a busy machine they may be too slow
        assert re.search(r"[0-9.]+ ms a frame, [0-9.]+ ms are there", findings[part].fact)
    # Fewer than three pictures in ten seconds, on a very busy machine, say nothing of the lens.
    assert re.search(r"lens (clear|unknown)", findings["camera"].fact)
    assert list(findings) == list(PARTS)
    assert "TLSv1.3" in findings["broker"].fact
    assert "1280x720" in findings["camera"].fact


def test_an_absent_broker_is_a_warning_because_recording_goes_on(settings: Settings) -> None:
    assert finding(settings, "broker").state == "warn"


def test_a_broker_of_another_authority_is_bad_and_names_the_setting(
    settings: Settings, broker: LocalBroker, tmp_path: Path, fleet: Fleet
) -> None:
    other = tmp_path / "other"
    foreign = make_fleet(other, ["cam01"]).ca_file
    fleet.device("cam01").tls.ca_file.write_bytes(foreign.read_bytes())
    line = finding(settings, "broker")
    assert line.state == "bad"
    assert "uplink.ca_file" in line.remedy


@pytest.mark.parametrize(
    ("part", "file"),
    [
        ("custody key", "custody.key"),
        ("collector key", "recipients.txt"),
        ("collector key", "receipt.pub.pem"),
        ("certificate", "tls/device.pem"),
    ],
)
def test_a_missing_file_is_named(settings: Settings, fleet: Fleet, part: str, file: str) -> None:
    (fleet.device("cam01").directory / file).unlink()
    line = finding(settings, part)
    assert line.state == "bad"
    assert Path(file).name in line.fact


def test_a_certificate_for_another_device_is_bad(tmp_path: Path, fleet: Fleet) -> None:
    line = finding(_settings(tmp_path, fleet, device_id="cam09"), "certificate")
    assert line.state == "bad"
    assert "cam01" in line.fact


def test_a_private_key_that_others_can_read_is_a_warning(settings: Settings, fleet: Fleet) -> None:
    fleet.device("cam01").custody_key_file.chmod(0o644)
    line = finding(settings, "custody key")
    assert line.state == "warn"
    assert "chmod 600" in line.remedy


@pytest.mark.parametrize(
    ("files", "state", "fact"),
    [
        ({"status": "Discharging", "capacity": "57"}, "good", "on battery, 57 %"),
        ({"status": "Discharging", "capacity": "9"}, "warn", "on battery, 9 %"),
        ({"status": "Charging", "capacity": "2"}, "good", "on mains, 2 %"),
        ({"status": "Discharging", "capacity_level": "Critical"}, "bad", "failing"),
        (None, "warn", "shows no supply"),
    ],
)
def test_the_supply_is_said_with_what_is_left_of_it(
    settings: Settings, tmp_path: Path, files: dict[str, str] | None, state: str, fact: str
) -> None:
    supplies = tmp_path / "supplies"
    supplies.mkdir()
    if files is not None:
        (supplies / "BAT0").mkdir()
        for name, word in {"type": "Battery", **files}.items():
            (supplies / "BAT0" / name).write_text(word)
    power = msgspec.structs.replace(settings.power, supplies_dir=supplies)
    line = check_power(Visit(msgspec.structs.replace(settings, power=power), None))
    assert line.state == state
    assert fact in line.fact


def test_without_a_power_driver_nothing_is_missed(settings: Settings) -> None:
    power = msgspec.structs.replace(settings.power, driver="none")
    assert check_power(Visit(msgspec.structs.replace(settings, power=power), None)).state == "good"


def test_a_damaged_model_is_bad_with_its_file(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in BUNDLE.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "head.npz").write_bytes(b"rubbish")
    tagger = msgspec.structs.replace(settings.tagger, bundle=folder)
    line = finding(msgspec.structs.replace(settings, tagger=tagger), "model")
    assert line.state == "bad"
    assert "head.npz" in line.fact


def test_a_model_on_the_cpu_by_leave_is_a_warning_that_names_what_is_missing(
    settings: Settings,
) -> None:
    tagger = msgspec.structs.replace(
        settings.tagger, providers=("CUDAExecutionProvider",), allow_cpu=True
    )
    line = finding(msgspec.structs.replace(settings, tagger=tagger), "accelerator")
    assert line.state == "warn"
    assert "CPUExecutionProvider instead of CUDAExecutionProvider" in line.fact


def test_the_exit_code_and_the_json_say_the_same(
    settings: Settings, fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_doctor(settings, as_json=True) == 0
    parts = msgspec.json.decode(capsys.readouterr().out)["findings"]
    assert {part["state"] for part in parts} <= {"good", "warn"}
    fleet.device("cam01").custody_key_file.unlink()
    assert run_doctor(settings, as_json=False) == 1
    assert "custody key" in capsys.readouterr().out


def test_the_table_has_one_line_a_part_with_the_remedy() -> None:
    lines = table(
        [
            Finding(part="card", state="good", fact="roomy"),
            Finding(part="broker", state="warn", fact="absent", remedy="wait"),
        ]
    ).splitlines()
    assert lines == ["card    good  roomy", "broker  warn  absent -> wait"]


def test_a_missing_tls_file_is_not_blamed_on_the_network(settings: Settings, fleet: Fleet) -> None:
    fleet.device("cam01").tls.ca_file.unlink()
    line = finding(settings, "broker")
    assert line.state == "bad"
    assert "ca.pem" in line.fact
    assert "network" not in line.remedy


def test_doctor_tells_the_keys_that_an_order_put_in_force(settings: Settings, fleet: Fleet) -> None:
    server = load_private_key(fleet.collector.receipt_private_key_file, "receipt key")
    file = settings.paths.state_dir / "trust" / "keys.json"
    file.parent.mkdir(parents=True)
    order = keys_token(server, 7, [server], recipients=[recipient(), recipient()])
    file.write_bytes(key_orders(order))
    fact = finding(settings, "collector key").fact
    assert fact.startswith("seals to 2 recipients, receipts by ")
    assert fact.endswith(", as of keys order 7")
    file.write_bytes(b"{")
    assert finding(settings, "collector key").state == "bad"
