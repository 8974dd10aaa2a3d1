"""The tracker along simulated drives: the same calls as the node makes, and the truth beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from fg2_ros.evaluation.drives.faults import displaced, FAULTS, Surroundings
from fg2_ros.evaluation.drives.filter_check import filter_result
from fg2_ros.evaluation.drives.rendered import open_drive
from fg2_ros.evaluation.drives.results import Claim, DriveResult, ImageResult
from fg2_ros.evaluation.drives.settings import RowSettings
from fg2_ros.evaluation.drives.single import Single
from fg2_ros.evaluation.drives.stream import Event, Heading, SensorStream, Shot, stream_of
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2
from fg2_ros.imagery.patch import ImageryError
from fg2_ros.tracker.inputs import Fix, Observation, Odometry, SearchRegion
from fg2_ros.tracker.results import Silence, TrackedPose
from fg2_ros.tracker.tracker import Tracker
import numpy as np



class Observing(Protocol):
    """Compares images with the aerial imagery: `Observer`, or a stand-in for it."""

    def observe(self, image: np.ndarray, frame: MapFrame, region: SearchRegion,
                base_from_camera: Pose2) -> Observation:
        """Return what an image says of the poses in a region."""


def opened_stream(settings: RowSettings, seed: int, cache: Path) -> SensorStream:
    """Return a drive as the settings have it; it is rendered if the cache lacks it."""
    rendered = open_drive(settings.spec(seed), cache)
    other = open_drive(settings.spec(settings.other_seed(seed)), cache)
    around = Surroundings(rendered, other)
    stream = FAULTS[settings.fault](stream_of(rendered), around)
    if settings.prior_offset_m:
        stream = displaced(
            stream, around, settings.prior_offset_m, settings.prior_offset_m / 2)
    return stream if settings.heading else replace(stream, imu=None)


def drive_result(seed: int, stream: SensorStream, tracker: Tracker, observer: Observing,
                 single: Single | None = None,
                 on_image: Callable[[ImageResult], None] = lambda image: None) -> DriveResult:
    """
    Let a tracker follow a drive.

    :param tracker: knows nothing yet.
    :param observer: takes its patches from the stream's imagery.
    :param single: answers from an image alone, for comparison.
    :param on_image: told of each image when it is done.
    """
    images = []
    for image in image_results(stream, tracker, observer, single):
        images.append(image)
        on_image(image)
    begin_s = stream.shots[0].time_s
    fault_s = None if stream.fault_s is None else stream.fault_s - begin_s
    return DriveResult(seed, tuple(images), fault_s, filter_result(stream, images))


def image_results(stream: SensorStream, tracker: Tracker, observer: Observing,
                  single: Single | None) -> Iterator[ImageResult]:
    """Yield what comes of each image of a stream."""
    for event in stream.events():
        if not isinstance(event.content, Shot):
            tell(tracker, event)
            continue
        answer = answered(stream, event, tracker, observer)
        result = image_result(event.content, answer)
        yield replace(
            result, time_s=event.content.time_s - stream.shots[0].time_s,
            single=single(stream, event.content) if single else None)


def tell(tracker: Tracker, event: Event) -> None:
    """Tell a tracker what a sensor says."""
    if isinstance(event.content, Fix):
        tracker.add_fix(event.stamp_ns, event.content)
    elif isinstance(event.content, Odometry):
        tracker.add_odometry(event.stamp_ns, event.content)
    elif isinstance(event.content, Heading):
        tracker.add_heading(event.stamp_ns, *event.content)


def answered(stream: SensorStream, event: Event, tracker: Tracker,
             observer: Observing) -> TrackedPose | Silence:
    """Let an image be looked for where the tracker wants it, and return what the tracker says."""
    region = tracker.search(event.stamp_ns, stream.base_from_camera)
    if isinstance(region, Silence):
        return region
    try:
        observation = observer.observe(
            event.content.image.pixels(), stream.map_frame, region, stream.base_from_camera)
    except ImageryError as error:
        return Silence(event.stamp_ns, 'imagery', str(error))
    return tracker.update(event.stamp_ns, observation)


def image_result(shot: Shot, answer: TrackedPose | Silence) -> ImageResult:
    """Return an answer beside the truth."""
    belief = answer.belief
    known = {} if belief is None else {'mass': belief.mass, 'agreement': belief.agreement}
    if isinstance(answer, Silence):
        return ImageResult(shot.time_s, shot.truth, **known, silence=answer.kind,
                           sentences=(answer.sentence, *answer.remarks))
    measured = answer.measurement
    return ImageResult(
        shot.time_s, shot.truth, Claim(answer.base, answer.covariance),
        None if measured is None else Claim(measured.base, measured.covariance),
        **known, sentences=answer.remarks)
