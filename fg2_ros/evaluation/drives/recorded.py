# Copyright 2026 fg2_ros maintainers
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Recorded drives as streams: runs of images of a split, with the sensor readings around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
import math
from pathlib import Path
import zlib

from fg2_ros.datasets.drives import (
    Keyframe, open_drives, RecordedDrive, require_images, SensorReadings, TEST)
from fg2_ros.evaluation.drives import rendered
from fg2_ros.evaluation.drives.readings import GnssReadings, HeadingReadings, OdometryReadings
from fg2_ros.evaluation.drives.settings import EVERY_SPLIT
from fg2_ros.evaluation.drives.stream import CameraFrame, DriveImage, SensorStream, Sigma
from fg2_ros.files import names_apart
from fg2_ros.simulation.sensors import (
    GnssModel, ImuModel, OdometryModel, simulate_gnss, simulate_imu, simulate_odometry)
from fg2_ros.simulation.trajectory import Trajectory
import numpy as np

LEAD_IN_S = 2.0    # the other sensors are heard before the first image, as in simulated drives
APART_M = 30.0     # between neighbouring images: what is further apart is of two runs
SHORTEST_M = 30.0  # of a run: a belief needs some road
FEWEST = 5         # images of a run
ELSEWHERE_M = 60.0  # that images of another street are away from where the vehicle is
SHIFTS = 8         # ways to lay the images of one run along another


@dataclass(frozen=True)
class Run:
    """
    Neighbouring images of a recorded drive.

    :param name: of the drive, and which of its runs it is.
    """

    name: str
    drive: RecordedDrive
    keyframes: tuple[Keyframe, ...]

    def panorama(self, index: int) -> np.ndarray:
        """Return an image, (h, w, 3) uint8 RGB."""
        return self.drive.panorama(self.keyframes[index])

    def seen(self, index: int) -> np.ndarray | None:
        """Return which parts of an image are a picture, (h, w) bool; None for all."""
        return self.drive.seen(self.keyframes[index])

    @cached_property
    def places_m(self) -> np.ndarray:
        """Return (N, 2) where base_link is, east and north in the drive's map."""
        return np.array([keyframe.base[:2] for keyframe in self.keyframes])

    @property
    def length_m(self) -> float:
        """Return how far it goes."""
        return float(np.hypot(*np.diff(self.places_m, axis=0).T).sum())

    def pieces(self, longest_m: float) -> list[Run]:
        """Return parts of it that are of one length, at most so long."""
        count = max(math.ceil(self.length_m / longest_m), 1)
        ends = [round(part * len(self.keyframes) / count) for part in range(count + 1)]
        return [replace(self, keyframes=self.keyframes[first:end])
                for first, end in zip(ends, ends[1:])]

    def places_in(self, other: Run) -> np.ndarray:
        """Return the places in the map of another run's drive."""
        frame = self.drive.map_frame
        if frame == other.drive.map_frame:
            return self.places_m
        latitude_deg, longitude_deg = frame.geodetic_from_map(*self.places_m.T)
        return np.stack(other.drive.map_frame.map_from_geodetic(
            latitude_deg, longitude_deg, anywhere=True), axis=1)


def runs_of(paths: Sequence[Path], split: str | None = None,
            longest_m: float = math.inf) -> list[Run]:
    """
    Return the runs of recorded drives.

    :param paths: of data sets, or of single drives.
    :param split: of the images, or several with plus signs between them; None for those for
        testing if there are any, else all.
    :param longest_m: longer runs are cut into equal pieces.
    :raises ValueError: if there are none, or no drives.
    """
    drives = list({drive.folder.resolve(): drive for path in paths
                   for drive in open_drives(path)}.values())
    require_images(drives)
    split = split or split_of(drives)
    runs = [run for name, drive in zip(names_apart([drive.folder for drive in drives]), drives)
            for run in drive_runs(name, drive, split, longest_m)]
    if not runs:
        counts = Counter(keyframe.split or 'no split' for drive in drives
                         for keyframe in drive.keyframes)
        raise ValueError(
            f'there are no {SHORTEST_M:g} m of road in one piece with images '
            + ('' if split == EVERY_SPLIT else f'for {split} ')
            + f'in {", ".join(map(str, paths))}; images there are: '
            + (', '.join(f'{name} {count}' for name, count in counts.items()) or 'none'))
    return runs


def split_of(drives: Iterable[RecordedDrive]) -> str:
    """Return the split that is evaluated: that for testing if there are images of it, else all."""
    return TEST if any(keyframe.split == TEST for drive in drives
                       for keyframe in drive.keyframes) else EVERY_SPLIT


def drive_runs(name: str, drive: RecordedDrive, split: str,
               longest_m: float = math.inf) -> list[Run]:
    """Return the runs of a drive that are long enough, in the order of time."""
    runs = [part for keyframes in neighbours(drive, split) if len(keyframes) >= FEWEST
            for part in Run(name, drive, keyframes).pieces(longest_m)]
    runs = [run for run in runs if run.length_m >= SHORTEST_M]
    return runs if len(runs) == 1 else [
        replace(run, name=f'{name}:{number}') for number, run in enumerate(runs, 1)]


def neighbours(drive: RecordedDrive, split: str) -> list[tuple[Keyframe, ...]]:
    """Return the images of a split that follow one another without a gap."""
    found: list[list[Keyframe]] = [[]]
    for keyframe in sorted(drive.keyframes, key=lambda each: each.stamp_ns):
        if split != EVERY_SPLIT and keyframe.split not in split.split('+'):
            found.append([])
        elif found[-1] and distance_m(found[-1][-1], keyframe) > APART_M:
            found.append([keyframe])
        else:
            found[-1].append(keyframe)
    return [tuple(keyframes) for keyframes in found]


def distance_m(first: Keyframe, second: Keyframe) -> float:
    """Return the distance between the places of two images."""
    return math.dist(first.base[:2], second.base[:2])


def stream_of(run: Run) -> SensorStream:
    """Return a run as its sensors saw it; its time begins a little before the first image."""
    facts, readings = run.drive.facts, run.drive.sensors
    begin_ns = run.keyframes[0].stamp_ns - round(LEAD_IN_S * 1e9)
    end_ns = run.keyframes[-1].stamp_ns
    shots = tuple(
        CameraFrame((keyframe.stamp_ns - begin_ns) / 1e9, keyframe.base, DriveImage(run, index),
                    Sigma(_known(keyframe.sigma_m), _known(keyframe.sigma_rad)))
        for index, keyframe in enumerate(run.keyframes))
    way = true_way(shots)
    gnss = (gnss_readings(readings, begin_ns, end_ns) if has_fixes(run)
            else gnss_around_truth(run, way))
    odometry, heading = (motion_along_truth(run, way) if is_bare(run) else (
        odometry_readings(readings, begin_ns, end_ns),
        heading_readings(readings, begin_ns, end_ns)))
    return SensorStream(
        shots, gnss, odometry, heading, run.drive.imagery, run.drive.map_frame,
        facts.base_from_camera, facts.antenna_m)


def has_fixes(run: Run) -> bool:
    """Return whether there was a GNSS receiver beside what measured the truth."""
    return len(run.drive.sensors.fix_m) > 0


def is_bare(run: Run) -> bool:
    """Return whether there are no sensors at all: of images with a table of their poses."""
    sensors = run.drive.sensors
    return not (has_fixes(run) or len(sensors.odometry) or len(sensors.heading))


def true_way(shots: Sequence[CameraFrame]) -> Trajectory:
    """Return the way from image to image."""
    time_s = np.array([0.0, *(shot.time_s for shot in shots)])
    east_m, north_m, yaw_rad = np.array([shots[0].truth, *(shot.truth for shot in shots)]).T
    unused = np.zeros(len(time_s))
    return Trajectory(time_s, east_m, north_m, np.unwrap(yaw_rad), *[unused] * 4)


def gnss_around_truth(run: Run, way: Trajectory) -> GnssReadings:
    """
    Return the fixes of a simulated receiver on the way of a run.

    A search begins with a fix, and the truth itself would give away what is to be found.
    """
    model = GnssModel(antenna_m=(*run.drive.facts.antenna_m, 0.0))
    return rendered.gnss_readings(simulate_gnss(way, model, _rng(run, 13)))


def motion_along_truth(run: Run, way: Trajectory) -> tuple[OdometryReadings, HeadingReadings]:
    """Return simulated odometry and headings on the way of a run: none is followed without."""
    return (rendered.odometry_readings(simulate_odometry(way, OdometryModel(), _rng(run, 19))),
            rendered.heading_readings(simulate_imu(way, ImuModel(), _rng(run, 23))))


def gnss_readings(readings: SensorReadings, begin_ns: int, end_ns: int) -> GnssReadings:
    """Return the fixes of a part of a drive, in seconds since its beginning."""
    rows, time_s = _part(readings.fix_stamp_ns, begin_ns, end_ns)
    return GnssReadings(time_s, readings.fix_m[rows], readings.fix_sigma_m[rows])


def odometry_readings(readings: SensorReadings, begin_ns: int,
                      end_ns: int) -> OdometryReadings | None:
    """Return the odometry of a part of a drive; None if there is none."""
    rows, time_s = _part(readings.odometry_stamp_ns, begin_ns, end_ns)
    return OdometryReadings(time_s, *readings.odometry[rows].T) if len(rows) else None


def heading_readings(readings: SensorReadings, begin_ns: int,
                     end_ns: int) -> HeadingReadings | None:
    """Return the headings of a part of a drive; None if there are none."""
    rows, time_s = _part(readings.heading_stamp_ns, begin_ns, end_ns)
    return HeadingReadings(time_s, *readings.heading[rows].T) if len(rows) else None


@dataclass(frozen=True)
class RecordedSources:
    """
    What a fault of a recorded drive may use.

    :param run: which the stream is of.
    :param runs: all of the data set, this one included.
    """

    run: Run
    runs: Sequence[Run]

    @property
    def rng(self) -> np.random.Generator:
        """Return the random numbers of the run's fault; the same ones every time."""
        return _rng(self.run, 17)

    def elsewhere(self, stream: SensorStream) -> SensorStream:
        """
        Return a stream with images of another street, in the order of driving.

        :raises ValueError: if the data set has none that are far enough away.
        """
        apart_m, run, rows = self._furthest
        if apart_m < ELSEWHERE_M:
            raise ValueError(
                f'images of another street must be {ELSEWHERE_M:g} m away from {self.run.name}, '
                f'and those of this data set come as near as {apart_m:.0f} m')
        return stream.with_images_of(DriveImage(run, int(row)) for row in rows)

    @property
    def has_elsewhere(self) -> bool:
        """Return whether there are images of another street."""
        return self._furthest[0] >= ELSEWHERE_M

    @cached_property
    def _furthest(self) -> tuple[float, Run, np.ndarray]:
        """Return how far away which images of which run are from this one."""
        return max(((self._apart_m(run, rows), run, rows) for run in self.runs
                    for rows in self._ways(run)), key=lambda each: each[0])

    def _ways(self, run: Run) -> Iterator[np.ndarray]:
        """Yield which images of a run this one may see, image by image."""
        count = len(run.keyframes)
        for shift in range(SHIFTS):
            yield (np.arange(len(self.run.keyframes)) + shift * count // SHIFTS) % count

    def _apart_m(self, run: Run, rows: np.ndarray) -> float:
        """Return how near the images of a run are to where this one would see them."""
        away_m = run.places_in(self.run)[rows] - self.run.places_m
        return float(np.hypot(*away_m.T).min())


def _rng(run: Run, purpose: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(run.name.encode()), purpose])


def _part(stamps_ns: np.ndarray, begin_ns: int, end_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (M,) rows in the order of time and their seconds since the beginning."""
    rows = np.flatnonzero((stamps_ns >= begin_ns) & (stamps_ns <= end_ns))
    rows = rows[np.argsort(stamps_ns[rows], kind='stable')]
    return rows, (stamps_ns[rows] - begin_ns) / 1e9


def _known(sigma: float) -> float:
    return sigma if math.isfinite(sigma) else 0.0
