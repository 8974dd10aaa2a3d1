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

"""Localize an image in aerial imagery: a prior in, a pose with its covariance out. No ROS."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path
from typing import Any

from fg2_ros.geometry.frames import MapFrame, require_geodetic
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import AerialPatch, Imagery, ImageryError, NoImagery
from fg2_ros.localizer.checks import (
    require_image, require_intrinsics, require_mask, require_panorama, require_panoramic,
    require_prior)
from fg2_ros.localizer.estimate import Estimate, MapPrior, Prior
from fg2_ros.localizer.matcher import Matcher, MatchResult, SearchRegion, Stopwatch
from fg2_ros.localizer.observer import Observer
from fg2_ros.localizer.settings import LocalizerSettings
from fg2_ros.localizer.views import GivenImage
from fg2_ros.network import FG2Config, FG2Network
from fg2_ros.network.inference import compile_for_inference, optimise_for_inference, share_backbone
from fg2_ros.network.kept import keep_descriptors
from fg2_ros.network.weights import (
    is_same_file, load_network, read_metadata, usable_device, usable_precision)
from fg2_ros.settings import SHIPPED_WEIGHTS
from fg2_ros.solver.acceptance import AcceptanceSettings, Candidate, rejection_of
from fg2_ros.solver.dense import Honesty
from fg2_ros.tracker import inputs, Rejection, TrackedPose, Tracker, TrackerSettings
from fg2_ros.tracker.settings import Calibration
import numpy as np
import torch


class Localizer:
    """
    Estimate poses of panoramas, or of pinhole images, inside aerial imagery.

    Not to be called from two threads at once. `load` makes one from a weights file.

    Where a prior has no heading, a first run of ``orientation`` on the panorama finds one, and a
    second run the pose.

    :param network: in evaluation mode, on its device.
    :param imagery: where aerial patches come from; stays the caller's to close.
    :param map_frame: origin of the map; None for the place of the first prior, if nobody sets
        ``map_frame`` before.
    :param metadata: of the weights.
    :param orientation: finds headings; may be ``network`` itself if it was trained with any
        orientation. None: images without a prior heading are refused.
    :raises ValueError: if a network for pinhole cameras is to find headings, or the metadata hold
        a calibration that makes no sense.
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
        honesty = honesty_of(self.metadata)
        self._matcher = Matcher(network, imagery, settings, honesty)
        self._observer = Observer(self._matcher)
        self._heading_finder: Matcher | None = None
        if orientation is not None:
            require_panoramic(self.config, orientation.config)
            self._heading_finder = self._matcher if orientation is network else Matcher(
                orientation, imagery, settings, honesty)

    @classmethod
    def load(
            cls, weights: str | Path = SHIPPED_WEIGHTS, imagery: Imagery | None = None,
            map_frame: MapFrame | None = None, device: str = 'auto', precision: str = 'fp32',
            settings: LocalizerSettings = LocalizerSettings(),
            orientation_weights: str | Path | None = None, compiled: bool = False,
            kept_in: Path | None = None) -> Localizer:
        """
        Return a localizer with the network of a weights file, by default the package's own.

        :param imagery: None refuses every image.
        :param device: 'auto' (the GPU if there is one), or a torch device.
        :param precision: see `usable_precision`.
        :param orientation_weights: file whose network finds headings where priors have none; may
            be the same file. None: images without a prior heading are refused.
        :param compiled: let `torch.compile` translate the networks when they first run, which
            takes a minute; pays off on a GPU.
        :param kept_in: folder that keeps what the network makes of images, for when the same ones
            come again.
        :raises ValueError: if a file, the device or the precision cannot be used.
        """
        place = usable_device(device)
        how = place, usable_precision(precision, place)
        metadata = usable_metadata(weights)
        network = optimise_for_inference(load_network(weights, *how))
        orientation = None
        if orientation_weights is not None and is_same_file(orientation_weights, weights):
            orientation = network
        elif orientation_weights is not None:
            orientation = optimise_for_inference(load_network(orientation_weights, *how))
            share_backbone(orientation, network)
        if compiled:
            for used in {network, orientation or network}:
                compile_for_inference(used)
        if kept_in is not None:
            keep_descriptors(network, kept_in)
        return cls(
            network, imagery or NoImagery(), map_frame, settings, metadata, orientation)

    @property
    def needs_intrinsics(self) -> bool:
        """Whether the weights are for a pinhole camera."""
        return self.config.camera == 'pinhole'

    @property
    def finds_headings(self) -> bool:
        """Whether priors may lack a heading."""
        return self._heading_finder is not None

    @property
    def _frame(self) -> MapFrame:
        """Return the map frame, as it was set, or around the first prior."""
        if self.map_frame is None:
            raise ValueError('a place in the map is of no use without a map_frame')
        return self.map_frame

    def request_imagery(self, latitude_deg: float, longitude_deg: float) -> None:
        """
        Start fetching the imagery around a place and return at once.

        :raises ValueError: if there is no such place.
        """
        require_geodetic(latitude_deg, longitude_deg)
        frame = self.map_frame or MapFrame(latitude_deg, longitude_deg)
        self._matcher.request_imagery(
            frame, frame.map_from_geodetic(latitude_deg, longitude_deg))

    def aerial_patch(self, place_m: tuple[float, float]) -> AerialPatch:
        """
        Return the aerial patch by which images near a place of the map are localized.

        :raises ImageryError: if there is no aerial imagery.
        :raises ValueError: if there is no map_frame.
        """
        return self._matcher.aerial_patch(self._frame, place_m)

    @torch.inference_mode()
    def estimate(
            self, image: np.ndarray, prior: Prior | MapPrior,
            camera_k: np.ndarray | None = None, seen: np.ndarray | None = None) -> Estimate:
        """
        Return where an image was taken.

        :param image: (H, W, 3) uint8 RGB: an equirectangular panorama (W = 2 H), or what a
            rectified pinhole camera took if the weights are for one.
        :param camera_k: (3, 3) intrinsics of the pinhole camera in pixels of the image.
        :param seen: (h, w) bool over the panorama, of any size, which parts are a picture: the
            others have no say. None: all.
        :raises ImageryError: if there is no aerial imagery; ImageryNotReady (one of them) while
            it is being fetched.
        :raises ValueError: if the image, the intrinsics or the prior cannot be used.
        """
        given = self._checked(image, camera_k, seen)
        prior = self._in_map(prior)
        watch = Stopwatch()
        if not prior.has_heading:
            first = self._first_run(given, prior)
            watch.lap('heading')
            if problem := self._problem_of_first_run(first, prior):
                return self._estimate(
                    first, f'there is no heading, and none was found: {problem}', watch)
            prior = self._with_heading_of(first, prior)
        limits = self._settings.acceptance
        region = SearchRegion(
            prior.pose, limits.radius_m(prior.sigma_m), limits.angle_rad(prior.yaw_sigma_rad))
        found = self._matcher.find(given, self._frame, region, watch)
        if self._is_unexpected(found, region):
            found = self._second_look(given, region, found, watch)
        return self._estimate(found, self._rejection(found, prior, limits), watch)

    def _checked(self, image: np.ndarray, camera_k: np.ndarray | None,
                 seen: np.ndarray | None) -> GivenImage:
        if self.needs_intrinsics:
            require_image(image, 'image')
            require_intrinsics(camera_k)
            if seen is not None:
                raise ValueError('the weights are for a pinhole camera, whose images have no mask')
        else:
            require_panorama(image)
            require_mask(seen)
            if camera_k is not None:
                raise ValueError('the weights are for panoramas, which have no intrinsics')
        return GivenImage(image, camera_k, seen)

    def _in_map(self, prior: Prior | MapPrior) -> MapPrior:
        """Return a usable prior in the map, whose origin is at the first one if it has none."""
        if isinstance(prior, Prior):
            frame = self.map_frame or MapFrame(prior.latitude_deg, prior.longitude_deg)
            prior = prior.in_map(frame)
        else:
            frame = self._frame
        require_prior(prior, needs_heading=not self.finds_headings)
        self.map_frame = frame
        return prior

    def observe(self, image: np.ndarray, region: inputs.SearchPlan, base_from_camera: Pose2,
                camera_k: np.ndarray | None = None,
                seen: np.ndarray | None = None) -> inputs.Observation:
        """
        Return the log-likelihoods of poses in the map; see `estimate` for the image.

        :raises ImageryError: if there is no aerial imagery.
        :raises ValueError: if the image cannot be used, or there is no map_frame.
        """
        given = self._checked(image, camera_k, seen)
        return self._observer.observe(given, self._frame, region, base_from_camera)

    def new_tracker(self, settings: TrackerSettings = TrackerSettings()) -> Tracker:
        """
        Return a tracker that knows nothing yet, to carry poses along a drive.

        :param settings: but for the calibration, which is the one in the metadata of the weights.
        """
        return Tracker(
            replace(settings, calibration=Calibration.of(self.metadata)), self.config.cell_m)

    def track(self, tracker: Tracker, stamp_ns: int, image: np.ndarray, base_from_camera: Pose2,
              camera_k: np.ndarray | None = None, seen: np.ndarray | None = None
              ) -> TrackedPose | Rejection:
        """
        Update a tracker with an image; the messages before it must have been added.

        :param tracker: that `new_tracker` returned; one for each drive.
        :param stamp_ns: when the image was taken.
        :param image: as `estimate` takes it, and the rest likewise.
        :param base_from_camera: where the camera is on the vehicle, in the plane; yaw that of the
            image's centre column.
        :return: the pose of base_link in the map, or a rejection with its reason.
        :raises ImageryError: if there is no aerial imagery; ImageryNotReady (one of them) while
            it is being fetched.
        :raises ValueError: if the image cannot be used, or there is no map_frame.
        """
        plan = tracker.search(stamp_ns, base_from_camera)
        if isinstance(plan, Rejection):
            return plan
        return tracker.update(
            stamp_ns, self.observe(image, plan, base_from_camera, camera_k, seen))

    def _is_unexpected(self, found: MatchResult, region: SearchRegion) -> bool:
        largest_rad = math.radians(self._settings.second_look_deg)
        away_rad = abs(wrap_angle(found.pose.yaw - region.middle.yaw))
        away_m = max(abs(found.pose.x - region.middle.x), abs(found.pose.y - region.middle.y))
        return found.ok and largest_rad < math.pi and (
            away_rad > largest_rad or away_m > self._settings.patch.recentre_m)

    def _second_look(self, image: GivenImage, region: SearchRegion, first: MatchResult,
                     watch: Stopwatch) -> MatchResult:
        """Return the result around a first pose; that pose if there is none."""
        try:
            second = self._matcher.find(
                image, self._frame, replace(region, expected=first.pose), watch)
        except ImageryError:
            return first
        return second if second.ok else first

    def _first_run(self, panorama: GivenImage, prior: MapPrior) -> MatchResult:
        """Search all headings."""
        assert self._heading_finder is not None, 'priors without a heading are refused before'
        start_rad = prior.pose.yaw if math.isfinite(prior.pose.yaw) else math.pi / 2
        region = SearchRegion(
            prior.pose._replace(yaw=start_rad), self._settings.acceptance.radius_m(prior.sigma_m),
            math.inf)
        return self._heading_finder.find(panorama, self._frame, region, Stopwatch())

    def _problem_of_first_run(self, first: MatchResult, prior: MapPrior) -> str:
        """Return why the first run found no heading; '' if it did."""
        limits = replace(
            self._settings.acceptance, min_inliers=0, min_inlier_ratio=0.0, max_sigma_m=math.inf)
        any_heading = replace(prior, pose=prior.pose._replace(yaw=0.0), yaw_sigma_rad=math.inf)
        return self._rejection(first, any_heading, limits)

    def _with_heading_of(self, first: MatchResult, prior: MapPrior) -> MapPrior:
        least_rad = math.radians(self._settings.found_heading_sigma_deg)
        return replace(
            prior, pose=prior.pose._replace(yaw=first.pose.yaw),
            yaw_sigma_rad=max(least_rad, math.sqrt(first.covariance[2, 2])))

    def _rejection(
            self, found: MatchResult, prior: MapPrior, limits: AcceptanceSettings) -> str:
        expected = prior.pose
        away = Pose2(found.pose.x - expected.x, found.pose.y - expected.y,
                     wrap_angle(found.pose.yaw - expected.yaw))
        inlier = found.matches.inlier
        return rejection_of(
            Candidate(found.ok, int(inlier.sum()), len(inlier), away, found.from_patch_m,
                      found.covariance, found.valid_share),
            limits, prior.sigma_m, prior.yaw_sigma_rad, found.extent_m)

    def _estimate(self, found: MatchResult, rejection: str, watch: Stopwatch) -> Estimate:
        pose = found.pose
        latitude_deg, longitude_deg = self._frame.geodetic_from_map(pose.x, pose.y)
        return Estimate(
            not rejection, rejection, pose.x, pose.y, latitude_deg, longitude_deg, pose.yaw,
            found.covariance, found.inlier_ratio, len(found.matches.inlier), found.matches,
            found.patch, watch.laps(), found.modes)


def usable_metadata(weights: str | Path) -> dict[str, Any]:
    """
    Return the metadata of a weights file whose calibration, if it has one, makes sense.

    :raises ValueError: naming the file and the value, if not.
    """
    metadata = read_metadata(weights)
    try:
        Calibration.of(metadata)
    except ValueError as error:
        raise ValueError(f'{weights}: {error}') from None
    return metadata


def honesty_of(metadata: dict[str, Any]) -> Honesty:
    """
    Return the calibration of a single image's covariance, from the metadata of weights.

    :raises ValueError: if they hold a calibration that makes no sense.
    """
    calibration = Calibration.of(metadata)
    return Honesty(calibration.measurement_temper, calibration.measurement_bias_m,
                   math.radians(calibration.measurement_bias_deg))
