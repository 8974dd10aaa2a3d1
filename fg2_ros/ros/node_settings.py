"""All that a user may set of the node, with defaults: the parameters are declared from this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fg2_ros.ros.prior import PriorSettings
from fg2_ros.settings import setting


@dataclass(frozen=True)
class ImagerySettings:
    """Where aerial imagery comes from."""

    url: str = setting(
        '', 'Template of the tile addresses (XYZ, Web Mercator), with {z}, {x} and {y}. There is '
        'no default: choose a source whose terms allow machine interpretation.', read_only=True)
    key: str = setting(
        '', 'API key put in the place of {key} in the address; never logged.', read_only=True)
    tile_px: int = setting(
        256, 'Side of a tile.', unit='px', choices=(256, 512), read_only=True)
    min_zoom: int = setting(
        0, 'Coarsest zoom that the source has.', between=(0, 24), read_only=True)
    max_zoom: int = setting(
        19, 'Finest zoom that the source has. Too high: tiles are asked for that do not exist; '
        'too low: the patch is blurred.', between=(0, 24), read_only=True)
    cache_path: str = setting(
        '~/.cache/fg2_ros/tiles.mbtiles', 'MBTiles file that keeps downloaded tiles. Empty: keep '
        'them in memory only.', read_only=True)
    cache_mb: float = setting(
        512.0, 'The cache is kept below this size.', unit='MB', between=(1.0, 1e6),
        read_only=True)


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
        '', 'Weights file (safetensors); it decides image sizes and grid. Empty: those trained in '
        'simulation that come with the package.', read_only=True)
    device: str = setting(
        'auto', 'Where the network runs: auto, cpu, cuda or cuda:N.', read_only=True)
    precision: str = setting(
        'fp32', 'Arithmetic of the network. fp16 is for GPUs.', choices=('fp32', 'fp16', 'bf16'),
        read_only=True)
    simulated_camera: bool = setting(
        False, 'The images come from a simulation: do not warn that weights trained in simulation '
        'are used.', read_only=True)
    map_frame: str = setting('map', 'Frame of the poses: east-north-up at the datum.',
                             read_only=True)
    odom_frame: str = setting('odom', 'Frame of the odometry (REP-105).', read_only=True)
    base_frame: str = setting('base_link', 'Frame of the vehicle whose pose is published.',
                              read_only=True)
    camera_frame: str = setting(
        '', 'Frame of the panorama. Empty: what the images say in header.frame_id.',
        read_only=True)
    camera_axes: str = setting(
        'body', "Axes of the camera's frame. body: x through the centre column, y left, z up; "
        'optical: z through the centre column, x right, y down (frames named *_optical).',
        choices=('body', 'optical'), read_only=True)
    publish_tf: bool = setting(
        True, 'Broadcast map -> odom. Off where an EKF owns that transform; then odom -> '
        'base_link is not needed either.', read_only=True)
    tf_wait_s: float = setting(
        0.2, 'How long the worker waits for the transform odom -> base_link at the stamp of an '
        'image.', unit='s', between=(0.0, 1.0))
    datum: tuple = setting(
        (), 'Origin of the map frame as [latitude, longitude] in degrees; give '
        'navsat_transform_node the same. Empty: the first good fix.', read_only=True)
    imagery: ImagerySettings = field(default_factory=ImagerySettings)
    prior: PriorSettings = field(default_factory=PriorSettings)
    localizer: Any = field(default_factory=_localizer_settings)
