"""Topics: what is built parses back, what is foreign is refused."""

import pytest

from agent.errors import WireError
from agent.wire import topics


def test_a_part_topic_parses_back() -> None:
    found = topics.parse_up_clip(topics.up_part("cam", "clip-1", 17))
    assert found == topics.UpClip("cam", "clip-1", 17)


def test_a_manifest_topic_parses_back() -> None:
    assert topics.parse_up_clip(topics.up_manifest("cam", "c")) == topics.UpClip("cam", "c", None)


def test_an_answer_topic_parses_back_and_lies_under_the_filter_of_the_device() -> None:
    topic = topics.down_clip("cam", "c")
    assert topics.parse_down_clip(topic) == ("cam", "c")
    assert topic.startswith(topics.down_clips("cam").rstrip("+"))


def test_status_and_event_topics_parse_back() -> None:
    assert topics.parse_up_other(topics.up_status("cam")) == ("cam", "status")
    assert topics.parse_up_other(topics.up_event("cam")) == ("cam", "event")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "sightline/v1/up/cam/clip/../part/1",
        "sightline/v1/up/cam/clip/c/part/-1",
        "sightline/v1/up/cam/clip/c/part/1234567",
        "sightline/v1/up/a/b/clip/c/manifest",
        "sightline/v1/up/cam/clip/c/manifest\n",
    ],
)
def test_a_foreign_topic_is_refused(topic: str) -> None:
    with pytest.raises(WireError):
        topics.parse_up_clip(topic)
    with pytest.raises(WireError):
        topics.parse_up_other(topic)
    with pytest.raises(WireError):
        topics.parse_down_clip(topic)
