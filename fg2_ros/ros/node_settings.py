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

"""The settings of the node with their defaults; its parameters are declared from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterable

from fg2_ros.cameras.settings import CameraSettings
from fg2_ros.geometry.frames import PROJECTIONS, require_geodetic
from fg2_ros.settings import MAINTAINERS, setting
from fg2_ros.tracker.settings import MotionSettings, PriorSettings, PublicationSettings


def datum_of(value: Any) -> tuple[float, ...]:
    """
    Return a datum as (latitude, longitude), or () for none.

    :param value: may have the heading of navsat_transform_node's datum as a third number.
    :raises ValueError: if it is no place on Earth, or its heading is not 0.
    """
    numbers = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else None
    if numbers is None or len(numbers) not in (0, 2, 3) or not all(
            isinstance(number, (int, float)) for number in numbers):
        raise ValueError(f'must be [latitude, longitude] or empty, not {value!r}')
    if numbers:
        require_geodetic(*numbers[:2])
    if any(numbers[2:]):
        raise ValueError(f'the heading of {value!r}, its third value, must be 0: the map is '
                         'aligned with imagery, so that its x is east')
    return tuple(map(float, numbers[:2]))


def frame_of(value: Any) -> str:
    """
    Return the name of a frame, without the slash that names of ROS 1 began with.

    :raises ValueError: if it is no text.
    """
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is no name of a frame')
    return value.lstrip('/')


@dataclass(frozen=True)
class ImagerySettings:
    """Where aerial imagery comes from."""

    sources: tuple = setting(
        (), 'Where imagery comes from, first choice first: names of the catalogue, paths of files '
        '(MBTiles, PMTiles, orthophotos, folders of sheets or tiles) or URL templates. What one '
        'lacks comes from the next, and everything while it fails. There is no default: choose '
        'sources whose terms allow machine interpretation.', of=str, read_only=True, secret=True)
    catalogue: str = setting(
        '', 'YAML file that describes sources by name. Empty: config/sources.yaml of the package, '
        'which is also the manual for one of your own.', read_only=True)
    url: str = setting(
        '', 'Template of tile addresses in Web Mercator, with {z}, {x} and {y}, or {q}, or '
        '{bbox}: a source that is in no catalogue; it comes before those of imagery.sources.',
        read_only=True, secret=True)
    key: str = setting(
        '', 'API key put in the place of {key} in an address; never logged, but whoever may ask '
        'the node for its parameters sees it. Better: leave it empty and put the key into the '
        'environment variable that the catalogue names, or for a URL into FG2_IMAGERY_KEY.',
        read_only=True, secret=True)
    tile_px: int = setting(
        256, 'Side of a tile of sources given as a URL.', unit='px', choices=(256, 512),
        read_only=True)
    min_zoom: int = setting(
        0, 'Coarsest zoom of sources given as a URL.', between=(0, 24), read_only=True)
    max_zoom: int = setting(
        19, 'Finest zoom of sources given as a URL. Too high: tiles are asked for that do not '
        'exist; too low: the patch is blurred.', between=(0, 24), read_only=True)
    coarsest_resolution_m: float = setting(
        1.0, 'Imagery with more metres per pixel on the ground is refused. What is finer than '
        'this, but coarser than the network wants, is magnified; diagnostics say so.',
        unit='m', between=(0.01, 1000.0), read_only=True)
    cache_path: str = setting(
        '~/.cache/fg2_ros', 'Folder in which downloaded tiles are kept, in an MBTiles file for '
        'each source; or such a file, if it ends in .mbtiles. Tiles that their terms forbid to '
        'keep are not kept. Empty: keep them in memory only.', read_only=True)
    cache_mb: float = setting(
        512.0, 'The cache of each source is kept below this size.', unit='MB', between=(1.0, 1e6),
        read_only=True)
    contact: str = setting(
        MAINTAINERS, 'Mail address or URL at which those who run tile servers can reach you; it '
        'goes into the User-Agent.', read_only=True)


@dataclass(frozen=True)
class SensorSettings:
    """What messages leave out, and how they are to be read."""

    default_fix_sigma_m: float = setting(
        5.0, 'Standard deviation of a fix that comes without covariance.',
        unit='m', between=(0.01, 1000.0))
    default_heading_sigma_deg: float = setting(
        5.0, 'Standard deviation of an IMU heading that comes without covariance.',
        unit='deg', between=(0.1, 180.0))
    heading_axes: str = setting(
        'enu', 'How headings on the topics heading and heading_pose count. enu: 0 is east, '
        'counter-clockwise (REP-103); ned: 0 is north, clockwise, as nmea_navsat_driver sends '
        'them.', choices=('enu', 'ned'))
    heading_offset_deg: float = setting(
        0.0, 'Added to them, counter-clockwise: how a pair of antennas is turned against the '
        'vehicle, where TF does not say so.', unit='deg', between=(-360.0, 360.0))
    course_min_speed_mps: float = setting(
        3.0, 'Without any other heading the course by GNSS is one while the vehicle is faster '
        'than this; a vehicle without odometry is taken to drive forward.', unit='m/s',
        between=(0.0, 100.0))
    imu_yaw_offset_deg: float = setting(
        0.0, 'Added to every IMU heading. 0 for an IMU that gives ENU headings (REP-103: 0 is '
        'east); 90 for one whose 0 is north; magnetic declination goes here too.',
        unit='deg', between=(-360.0, 360.0))


@dataclass(frozen=True)
class TransformSettings:
    """How map -> odom is broadcast."""

    rate_hz: float = setting(
        20.0, 'map -> odom is broadcast so many times a second, held between the poses.',
        unit='Hz', between=(0.1, 1000.0))
    tolerance_s: float = setting(
        0.2, 'It is dated this far ahead, so that it serves lookups at the newest odometry even '
        'where some broadcasts come late.', unit='s', between=(0.0, 10.0))
    timeout_s: float = setting(
        10.0, 'Without a new pose for this long it is no longer broadcast, and the log says so: '
        'odometry alone has drifted too far.', unit='s', between=(0.1, 3600.0))
    blend_s: float = setting(
        0.5, 'A correction is spread over this time, so that nothing jumps that did not; the '
        'first pose, and one after the vehicle was lost, is taken at once. 0 takes all at once.',
        unit='s', between=(0.0, 60.0))
    wait_s: float = setting(
        0.2, 'How long the worker waits for the transform odom -> base_link at the stamp of an '
        'image.', unit='s', between=(0.0, 1.0))


@dataclass(frozen=True)
class _NoSettings:
    """Stands in for settings that cannot be imported."""


def _localizer_settings() -> Any:
    """Return the localizer's defaults; without torch there are none, and configuring says so."""
    try:
        from fg2_ros.localizer import LocalizerSettings
    except ImportError:
        return _NoSettings()
    return LocalizerSettings()


@dataclass(frozen=True)
class NodeSettings:
    """The parameters of the node; nested settings become dotted names."""

    autostart: bool = setting(
        True, 'Configure and activate at start. Off where a lifecycle manager does that.',
        read_only=True)
    weights: str = setting(
        '', 'Weights file (safetensors), of fg2 train or fg2 convert; it decides image sizes, '
        'grid and whether the camera is a panorama or a pinhole camera, whose camera_info is then '
        'needed. Empty: those trained in simulation that come with the package.', read_only=True)
    device: str = setting(
        'auto', 'Where the network runs: auto, cpu, cuda or cuda:N.', read_only=True)
    precision: str = setting(
        'auto', 'Arithmetic of the network. fp16 is for GPUs; auto is bf16 on a processor that '
        'has instructions for it, fp32 elsewhere.', choices=('auto', 'fp32', 'fp16', 'bf16'),
        read_only=True)
    compile: bool = setting(  # noqa: A003, as torch calls it
        False, 'Let torch.compile translate the network while the first images come in, which '
        'then take a minute. Pays off on a GPU; where it is not possible the log says so, and '
        'the network runs as it is.', read_only=True)
    simulated_camera: bool = setting(
        False, 'The images come from a simulation. Otherwise there is a warning of weights that '
        'were trained in simulation only, and their poses claim a sigma of at least 1.5 m: their '
        'calibration says nothing of a real camera.', read_only=True)
    map_frame: str = setting('map', 'Frame of the poses: east-north-up at the datum.',
                             parse=frame_of, read_only=True)
    odom_frame: str = setting('odom', 'Frame of the odometry (REP-105).', parse=frame_of,
                              read_only=True)
    base_frame: str = setting('base_link', 'Frame of the vehicle whose pose is published.',
                              parse=frame_of, read_only=True)
    camera_frame: str = setting(
        '', 'Frame of the panorama. Empty: what the images say in header.frame_id.',
        parse=frame_of, read_only=True)
    camera_axes: str = setting(
        'body', "Axes of the camera's frame. body: x through the centre column, y left, z up; "
        'optical: z through the centre column, x right, y down (frames named *_optical).',
        choices=('body', 'optical'), read_only=True)
    publish_tf: bool = setting(
        True, 'Broadcast map -> odom. Off where an EKF owns that transform; then odom -> '
        'base_link is not needed either.', read_only=True)
    matches_rate_hz: float = setting(
        2.0, 'At most so many pictures a second: ~/matches, the matches in ~/markers, ~/path and '
        '~/aerial. Drawing them takes time.', unit='Hz', between=(0.1, 100.0))
    path_length_m: float = setting(
        1000.0, 'How much of the way that the vehicle has come is shown in ~/path.', unit='m',
        between=(1.0, 1e5), read_only=True)
    relocalize_sigma_m: float = setting(
        0.0, 'How far off GNSS may be, one sigma, when ~/relocalize is called; 0 for what the '
        'fixes claim.', unit='m', between=(0.0, 1000.0))
    datum: tuple = setting(
        (), 'Origin of the map frame as [latitude, longitude] in degrees, or with a third value, '
        'which must be 0.0, as navsat_transform_node has it: give both the same. Empty: the first '
        'good fix.', parse=datum_of)
    map_projection: str = setting(
        'local', 'What a metre of the map frame is. local: a metre on the ground; utm: one of the '
        "grid of the datum's UTM zone, 0.9996 to 1.001 m, as navsat_transform_node has it unless "
        'use_local_cartesian is set: 2.8 m of difference 7 km from the datum in the middle of a '
        'zone.', choices=PROJECTIONS, read_only=True)
    camera: CameraSettings = CameraSettings()
    imagery: ImagerySettings = field(default_factory=ImagerySettings)
    sensors: SensorSettings = SensorSettings()
    motion: MotionSettings = MotionSettings()
    prior: PriorSettings = PriorSettings()
    publication: PublicationSettings = PublicationSettings()
    transform: TransformSettings = TransformSettings()
    localizer: Any = field(default_factory=_localizer_settings)
