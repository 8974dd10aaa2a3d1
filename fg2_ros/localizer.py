"""Localize an image in aerial imagery: a prior in, a pose with its covariance out. No ROS."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
import math
from pathlib import Path
from typing import Any

from fg2_ros.aerial_memory import PatchSettings
from fg2_ros.checkpoints import load_network, read_metadata
from fg2_ros.geometry.frames import MapFrame, require_geodetic
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError
from fg2_ros.matcher import Found, Guess, Matcher, Matches, Stopwatch
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import (
    compile_for_inference, optimise_for_inference, share_backbone)
from fg2_ros.settings import setting
from fg2_ros.solver.acceptance import AcceptanceSettings, Candidate, rejection_of
from fg2_ros.solver.ransac import RansacSettings
from fg2_ros.solver.refinement import RefinementSettings
import numpy as np
import torch

PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


@dataclass(frozen=True)
class LocalizerSettings:
    """What a user may change of the localizer; each field says what it does and its unit."""

    covariance_scale: float = setting(
        0.0, 'Factor of the analytic covariance. 0 takes the one calibrated for the weights.',
        between=(0.0, 1e4))
    seed: int = setting(
        0, 'Of the random draws: an image and a prior always give the same estimate.',
        between=(0, 2 ** 31 - 1))
    turn_deg: float = setting(
        3.0, 'A pinhole camera needs the aerial patch turned to its heading. It is turned anew '
        'when the prior heading is further than this from it.', unit='deg', between=(0.0, 10.0))
    found_heading_sigma_deg: float = setting(
        6.0, 'A heading that was found in the panorama, for want of one in the prior, is never '
        'called better than this.', unit='deg', between=(0.1, 60.0))
    second_look_deg: float = setting(
        5.0, 'A pose whose yaw is further than this from what was expected, or whose place is '
        'further than patch.recentre_m, is looked for once more with it in the middle, where '
        'networks see best: more accurate, and a second run. 180 switches it off.',
        unit='deg', between=(0.0, 180.0))
    patch: PatchSettings = PatchSettings()
    ransac: RansacSettings = field(default_factory=RansacSettings.real_time)
    refinement: RefinementSettings = RefinementSettings()
    acceptance: AcceptanceSettings = AcceptanceSettings()


@dataclass(frozen=True)
class Prior:
    """
    What is known of the camera before its image is looked at.

    :param latitude_deg: WGS 84.
    :param longitude_deg: WGS 84.
    :param sigma_m: standard deviation of the position on each axis.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the image's centre column, which is a
        pinhole camera's optical axis; NaN if there is no heading.
    :param yaw_sigma_rad: its standard deviation; pi or more if there is no heading.
    """

    latitude_deg: float
    longitude_deg: float
    sigma_m: float
    yaw_rad: float
    yaw_sigma_rad: float

    @property
    def has_heading(self) -> bool:
        """Whether the yaw is known at all."""
        return math.isfinite(self.yaw_rad) and self.yaw_sigma_rad < math.pi


@dataclass(frozen=True)
class Estimate:
    """
    Where the camera stands and looks; meaningful as a pose only if ``accepted``.

    :param rejection: why it is not accepted, a sentence; '' if it is.
    :param east_m: of the camera in the map frame.
    :param north_m: of the camera in the map frame.
    :param yaw_rad: map yaw (0 east, counter-clockwise) of the image's centre column.
    :param covariance: (3, 3) float64 of (east m, north m, yaw rad); positive definite.
    :param inlier_ratio: share of the matches that agree with the pose.
    :param match_count: matches drawn.
    :param patch: the aerial patch that was used.
    :param timings_ms: 'patch', 'aerial', 'ground', 'solve' and 'total', and 'heading' where the
        heading had to be found first; on a GPU the host waits in 'solve' only.
    """

    accepted: bool
    rejection: str
    east_m: float
    north_m: float
    latitude_deg: float
    longitude_deg: float
    yaw_rad: float
    covariance: np.ndarray
    inlier_ratio: float
    match_count: int
    matches: Matches
    patch: AerialPatch
    timings_ms: dict[str, float]


class Localizer:
    """
    Estimate poses of panoramas, or of pinhole images, inside aerial imagery.

    Not to be called from two threads at once. `load` makes one from a weights file.

    Where a prior has no heading, a first run of ``orientation`` on the panorama finds one, and a
    second run the pose.

    :param network: in evaluation mode, on its device.
    :param imagery: where aerial patches come from; stays the caller's to close.
    :param map_frame: origin of the map; None for the place of the first prior.
    :param metadata: of the weights.
    :param orientation: finds headings; may be ``network`` itself if it was trained with any
        orientation. None: images without a prior heading are refused.
    :raises ValueError: if a network for pinhole cameras is to find headings.
    """

    def __init__(
            self, network: FG2Network, imagery: Imagery, map_frame: MapFrame | None = None,
            settings: LocalizerSettings = LocalizerSettings(),
            metadata: dict[str, Any] | None = None, orientation: FG2Network | None = None):
        """Prepare the grids; nothing is fetched yet."""
        self.config: FG2Config = network.config
        self.metadata = metadata or {}
        self.map_frame = map_frame
        self._settings = settings
        scale = settings.covariance_scale or float(self.metadata.get('covariance_scale', 1.0))
        self._matcher = Matcher(network, imagery, settings, scale)
        self._heading_finder: Matcher | None = None
        if orientation is not None:
            require_panoramic(self.config, orientation.config)
            self._heading_finder = self._matcher if orientation is network else Matcher(
                orientation, imagery, settings, scale)

    @classmethod
    def load(
            cls, weights_path: str | Path, imagery: Imagery, map_frame: MapFrame | None = None,
            device: str = 'auto', precision: str = 'fp32',
            settings: LocalizerSettings = LocalizerSettings(),
            orientation_weights: str | Path | None = None, compiled: bool = False) -> Localizer:
        """
        Return a localizer with the network of a weights file.

        :param device: 'auto' (the GPU if there is one), or a torch device.
        :param precision: see `usable_precision`.
        :param orientation_weights: file whose network finds headings where priors have none; may
            be the same file. None: images without a prior heading are refused.
        :param compiled: let `torch.compile` translate the networks when they first run, which
            takes a minute; pays off on a GPU.
        :raises ValueError: if a file, the device or the precision cannot be used.
        """
        place = usable_device(device)
        how = place, usable_precision(precision, place)
        network = optimise_for_inference(load_network(weights_path, *how))
        orientation = None
        if orientation_weights is not None and is_same_file(orientation_weights, weights_path):
            orientation = network
        elif orientation_weights is not None:
            orientation = optimise_for_inference(load_network(orientation_weights, *how))
            share_backbone(orientation, network)
        if compiled:
            for used in {network, orientation} - {None}:
                compile_for_inference(used)
        return cls(
            network, imagery, map_frame, settings, read_metadata(weights_path), orientation)

    @property
    def needs_intrinsics(self) -> bool:
        """Whether the weights are for a pinhole camera."""
        return self.config.camera == 'pinhole'

    @property
    def finds_headings(self) -> bool:
        """Whether priors may lack a heading."""
        return self._heading_finder is not None

    def request_imagery(self, latitude_deg: float, longitude_deg: float) -> None:
        """
        Start fetching the imagery around a place and return at once.

        :raises ValueError: if there is no such place.
        """
        require_geodetic(latitude_deg, longitude_deg)
        frame = self.map_frame or MapFrame(latitude_deg, longitude_deg)
        self._matcher.request_imagery(
            frame, frame.map_from_geodetic(latitude_deg, longitude_deg))

    @torch.inference_mode()
    def estimate(
            self, image: np.ndarray, prior: Prior,
            camera_k: np.ndarray | None = None) -> Estimate:
        """
        Return where an image was taken.

        :param image: (H, W, 3) uint8 RGB: an equirectangular panorama (W = 2 H), or what a
            rectified pinhole camera took if the weights are for one.
        :param camera_k: (3, 3) intrinsics of the pinhole camera in pixels of the image.
        :raises ImageryError: if there is no aerial imagery; ImageryNotReady (one of them) while
            it is being fetched.
        :raises ValueError: if the image, the intrinsics or the prior cannot be used.
        """
        self._require_usable(image, prior, camera_k)
        if self.map_frame is None:
            self.map_frame = MapFrame(prior.latitude_deg, prior.longitude_deg)
        watch = Stopwatch()
        place_m = self.map_frame.map_from_geodetic(prior.latitude_deg, prior.longitude_deg)
        if not prior.has_heading:
            first = self._first_run(image, place_m, prior)
            watch.lap('heading')
            if problem := self._problem_of_first_run(first, place_m, prior):
                return self._estimate(
                    first, f'there is no heading, and none was found: {problem}', watch)
            prior = self._with_heading_of(first, prior)
        limits, pose = self._settings.acceptance, Pose2(*place_m, prior.yaw_rad)
        guess = Guess(
            pose, limits.radius_m(prior.sigma_m), limits.angle_rad(prior.yaw_sigma_rad))
        found = self._matcher.find(image, camera_k, self.map_frame, guess, watch)
        if self._is_unexpected(found, guess):
            found = self._second_look(image, camera_k, guess, found, watch)
        return self._estimate(found, self._rejection(found, pose, prior, limits), watch)

    def _require_usable(
            self, image: np.ndarray, prior: Prior, camera_k: np.ndarray | None) -> None:
        if self.needs_intrinsics:
            require_image(image, 'image')
            require_intrinsics(camera_k)
        else:
            require_panorama(image)
            if camera_k is not None:
                raise ValueError('the weights are for panoramas, which have no intrinsics')
        require_prior(prior, needs_heading=not self.finds_headings)

    def _is_unexpected(self, found: Found, guess: Guess) -> bool:
        largest_rad = math.radians(self._settings.second_look_deg)
        away_rad = abs(wrap_angle(found.pose.yaw - guess.middle.yaw))
        away_m = max(abs(found.pose.x - guess.middle.x), abs(found.pose.y - guess.middle.y))
        return found.ok and largest_rad < math.pi and (
            away_rad > largest_rad or away_m > self._settings.patch.recentre_m)

    def _second_look(self, image: np.ndarray, camera_k: np.ndarray | None, guess: Guess,
                     first: Found, watch: Stopwatch) -> Found:
        """Return what is found with a pose in the middle; the first pose if that is nothing."""
        try:
            second = self._matcher.find(
                image, camera_k, self.map_frame, replace(guess, expected=first.pose), watch)
        except ImageryError:
            return first
        return second if second.ok else first

    def _first_run(
            self, panorama: np.ndarray, place_m: tuple[float, float], prior: Prior) -> Found:
        """Look for a pose with any heading."""
        start_rad = prior.yaw_rad if math.isfinite(prior.yaw_rad) else math.pi / 2
        guess = Guess(
            Pose2(*place_m, start_rad), self._settings.acceptance.radius_m(prior.sigma_m),
            math.inf)
        return self._heading_finder.find(panorama, None, self.map_frame, guess, Stopwatch())

    def _problem_of_first_run(
            self, first: Found, place_m: tuple[float, float], prior: Prior) -> str:
        """Return why no heading came of the first run, or ''; the second is asked for more."""
        limits = replace(
            self._settings.acceptance, min_inliers=0, min_inlier_ratio=0.0, max_sigma_m=math.inf)
        any_heading = replace(prior, yaw_sigma_rad=math.inf)
        return self._rejection(first, Pose2(*place_m, 0.0), any_heading, limits)

    def _with_heading_of(self, first: Found, prior: Prior) -> Prior:
        least_rad = math.radians(self._settings.found_heading_sigma_deg)
        return replace(
            prior, yaw_rad=first.pose.yaw,
            yaw_sigma_rad=max(least_rad, math.sqrt(first.covariance[2, 2])))

    def _rejection(
            self, found: Found, expected: Pose2, prior: Prior, limits: AcceptanceSettings) -> str:
        away = Pose2(found.pose.x - expected.x, found.pose.y - expected.y,
                     wrap_angle(found.pose.yaw - expected.yaw))
        inlier = found.matches.inlier
        return rejection_of(
            Candidate(found.ok, int(inlier.sum()), len(inlier), away, found.from_patch_m,
                      found.covariance, found.valid_share),
            limits, prior.sigma_m, prior.yaw_sigma_rad, found.extent_m)

    def _estimate(self, found: Found, rejection: str, watch: Stopwatch) -> Estimate:
        pose = found.pose
        latitude_deg, longitude_deg = self.map_frame.geodetic_from_map(pose.x, pose.y)
        return Estimate(
            not rejection, rejection, pose.x, pose.y, latitude_deg, longitude_deg, pose.yaw,
            found.covariance, found.inlier_ratio, len(found.matches.inlier), found.matches,
            found.patch, watch.laps())


def usable_device(name: str) -> torch.device:
    """
    Return the torch device of a name; 'auto' is the GPU if there is one.

    :raises ValueError: if there is no such device here.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {name!r} cannot be used here: {error}') from error
    return device


def usable_precision(name: str, device: torch.device) -> torch.dtype:
    """
    Return the type of a network's numbers: 'fp32', 'fp16', 'bf16' or 'auto'.

    'auto' is bf16 on a processor that has instructions for it, where it is a third faster, and
    fp32 everywhere else.

    :raises ValueError: if there is no such precision.
    """
    if name == 'auto':
        capabilities = getattr(torch.cpu, 'get_capabilities', dict)()  # not in every torch
        has_bfloat16 = device.type == 'cpu' and capabilities.get('avx512_bf16', False)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    if name not in PRECISIONS:
        raise ValueError(f'precision {name!r} is none of auto, {", ".join(PRECISIONS)}')
    return PRECISIONS[name]


def is_same_file(first: str | Path, second: str | Path) -> bool:
    """Return whether two paths lead to one file."""
    return Path(first).exists() and Path(second).exists() and Path(first).samefile(second)


def require_panoramic(*configs: FG2Config) -> None:
    """Raise ValueError unless all configurations are for panoramas."""
    for config in configs:
        if config.camera != 'panorama':
            raise ValueError(
                f'the weights are for a {config.camera} camera: headings are found in panoramas '
                'only')


def require_image(image: np.ndarray, what: str) -> None:
    """
    Raise ValueError with a sentence unless an array is an image with something on it.

    :param what: the sentence calls it.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, 'dtype', type(image).__name__)
        raise ValueError(f'the {what} must be a uint8 array, not {kind}')
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f'the {what} must have the shape (height, width, 3), not {image.shape}')
    if not image.any():
        raise ValueError(f'the {what} is black')


def require_panorama(panorama: np.ndarray) -> None:
    """Raise ValueError with a sentence unless the image can be a panorama."""
    require_image(panorama, 'panorama')
    height, width = panorama.shape[:2]
    if abs(width - 2 * height) > 0.02 * width:
        raise ValueError(
            f'the panorama must be twice as wide as high (equirectangular), not {width}x{height}')


def require_intrinsics(camera_k: np.ndarray | None) -> None:
    """Raise ValueError with a sentence unless the array is the matrix of a pinhole camera."""
    if camera_k is None:
        raise ValueError('the weights are for a pinhole camera: its intrinsics are needed')
    matrix = np.asarray(camera_k)
    if matrix.shape != (3, 3) or matrix.dtype.kind not in 'fiu' or not np.isfinite(matrix).all():
        raise ValueError('the intrinsics must be a (3, 3) matrix of finite numbers')
    if min(matrix[0, 0], matrix[1, 1]) <= 0 or tuple(matrix[2]) != (0, 0, 1):
        raise ValueError(
            f'the intrinsics {matrix.tolist()} are none of a pinhole camera: focal lengths must '
            'be positive, the last row (0, 0, 1)')


def require_prior(prior: Prior, needs_heading: bool = True) -> None:
    """Raise ValueError with a sentence unless the prior is usable."""
    require_geodetic(prior.latitude_deg, prior.longitude_deg)
    if needs_heading and not prior.has_heading:
        raise ValueError('there is no heading: the prior yaw must be known')
    sigmas = {'position': prior.sigma_m}
    if prior.has_heading:
        sigmas['yaw'] = prior.yaw_sigma_rad
    for name, sigma in sigmas.items():
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(f"the prior {name}'s sigma must be positive, not {sigma}")
