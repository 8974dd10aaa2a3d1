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

"""Accuracy of the whole localizer in simulated cities, with the baseline beside it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
import multiprocessing
from typing import Callable, Iterable, Iterator, NamedTuple, Protocol, Sequence, TYPE_CHECKING

from fg2_ros.evaluation import baseline
from fg2_ros.evaluation.current_imagery import CurrentImagery
from fg2_ros.evaluation.metrics import frame_metrics, FrameResult, pose_error, share_over
from fg2_ros.evaluation.settings import SimulatedSettings
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.geometry.se2 import Pose2, wrap_angle
from fg2_ros.imagery.patch import PatchView
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.localizer import Estimate, Prior
from fg2_ros.processes import begin_worker
import numpy as np

if TYPE_CHECKING:
    from fg2_ros.simulation.scenes import Orthophoto

CITIES_AT_ONCE = 8  # rendered before they are localized in: latency is measured undisturbed


class Shot(NamedTuple):
    """
    One frame to localize.

    :param panorama: (h, w, 3) uint8 RGB.
    :param truth: of the camera, in the city's map metres.
    :param prior: what the localizer gets to know of it.
    :param baseline_error_m: of the baseline, or None.
    """

    panorama: np.ndarray
    truth: Pose2
    prior: Pose2
    baseline_error_m: float | None


class CityShots(NamedTuple):
    """A city's orthophoto and its frames."""

    seed: int
    orthophoto: Orthophoto
    shots: list[Shot]


class Localizing(Protocol):
    """What is evaluated: `Localizer`, or a stand-in for it."""

    map_frame: MapFrame | None

    def estimate(self, panorama: np.ndarray, prior: Prior) -> Estimate:
        """Return where a panorama was taken."""


def shoot(seed: int, count: int, settings: SimulatedSettings) -> CityShots:
    """Render frames of a city with their priors, and run the baseline on them."""
    from fg2_ros.simulation.scenes import Scene
    scene = Scene(seed, settings.difficulty, world=settings.world)
    orthophoto = scene.orthophoto()
    streets = RasterImagery(
        orthophoto.image, city_frame(seed), orthophoto.centre_m, orthophoto.resolution_m)
    places_rng, priors_rng = (
        np.random.default_rng((seed, stream)) for stream in (0x706C, 0x7072))
    height, width = settings.panorama_hw
    shots = []
    for index, pose in enumerate(scene.camera_poses(count, places_rng)):
        panorama = scene.panorama(pose, width, height, frame=index)
        truth = Pose2(pose.east_m, pose.north_m, wrap_angle(pose.yaw_rad))
        prior = wrong_prior(truth, settings, priors_rng)
        error_m = None
        if settings.with_baseline:
            error_m = baseline_error_m(
                panorama, pose.height_m, truth, prior, imagery=streets, seed=seed)
        shots.append(Shot(panorama, truth, prior, error_m))
    return CityShots(seed, orthophoto, shots)


def city_frame(seed: int) -> MapFrame:
    """Return a map frame of a city's own: patches of another city are never mistaken for its."""
    return MapFrame(47.5, seed % 3600 / 10 - 180)


def wrong_prior(truth: Pose2, settings: SimulatedSettings, rng: np.random.Generator) -> Pose2:
    """Return the truth with the uniform errors of the settings."""
    east_m, north_m = rng.uniform(-settings.prior_offset_m, settings.prior_offset_m, 2)
    yaw_rad = np.radians(rng.uniform(-settings.yaw_error_deg, settings.yaw_error_deg))
    return Pose2(
        float(truth.x + east_m), float(truth.y + north_m), wrap_angle(truth.yaw + yaw_rad))


def baseline_error_m(
        panorama: np.ndarray, camera_height_m: float, truth: Pose2, prior: Pose2,
        imagery: RasterImagery, seed: int) -> float:
    """Return the position error of the baseline, which gets the camera's true height."""
    settings = baseline.BaselineSettings()
    size_px = int(np.ceil(settings.aerial_size_m / settings.resolution_m)) + 2
    patch = imagery.patch(
        PatchView(city_frame(seed), (prior.x, prior.y), size_px * settings.resolution_m,
                  size_px))
    found = baseline.estimate(
        panorama, prior_yaw_rad=prior.yaw, camera_height_m=camera_height_m, aerial=patch.image,
        aerial_resolution_m=patch.resolution_m, settings=settings)
    return float(np.hypot(prior.x + found.x - truth.x, prior.y + found.y - truth.y))


def shoot_cities(settings: SimulatedSettings) -> Iterator[CityShots]:
    """Yield the rendered cities in order; nothing renders while the caller works on one."""
    counts = list(settings.frames_of_cities().items())
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(settings.workers, context, initializer=begin_worker) as pool:
        for start in range(0, len(counts), CITIES_AT_ONCE):
            jobs = [pool.submit(shoot, seed, count, settings)
                    for seed, count in counts[start:start + CITIES_AT_ONCE]]
            try:
                yield from [job.result() for job in jobs]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def localize_cities(
        cities: Iterable[CityShots], localizer: Localizing, imagery: CurrentImagery,
        settings: SimulatedSettings,
        on_frame: Callable[[FrameResult], object] = lambda result: None) -> list[FrameResult]:
    """
    Localize every frame and compare it with the truth.

    :param localizer: takes its patches from ``imagery``.
    :param on_frame: called with every result.
    """
    results = []
    for city in cities:
        frame = city_frame(city.seed)
        localizer.map_frame = frame
        imagery.source = RasterImagery(
            city.orthophoto.image, frame, city.orthophoto.centre_m, city.orthophoto.resolution_m)
        for shot in city.shots:
            results.append(_localize(shot, localizer, frame, settings))
            on_frame(results[-1])
    return results


def simulated_metrics(results: Sequence[FrameResult]) -> dict:
    """Return `frame_metrics`, and the errors of the accepted frames and the baseline beside."""
    accepted = [result.position_error_m for result in results if result.accepted]
    baselines = [result.baseline_error_m for result in results
                 if result.baseline_error_m is not None]
    return frame_metrics(results) | {
        'accepted_frames': len(accepted),
        'accepted_median_error_m': float(np.median(accepted)) if accepted else None,
        'accepted_mean_error_m': float(np.mean(accepted)) if accepted else None,
        'accepted_over_5m': share_over(accepted, 5.0) if accepted else None,
        'baseline_mean_error_m': float(np.mean(baselines)) if baselines else None,
        'baseline_over_5m': share_over(baselines, 5.0) if baselines else None}


def _localize(shot: Shot, localizer: Localizing, frame: MapFrame,
              settings: SimulatedSettings) -> FrameResult:
    latitude_deg, longitude_deg = frame.geodetic_from_map(shot.prior.x, shot.prior.y)
    prior = Prior(
        latitude_deg, longitude_deg, sigma_m=settings.prior_sigma_m, yaw_rad=shot.prior.yaw,
        yaw_sigma_rad=settings.yaw_sigma_rad)
    estimate = localizer.estimate(shot.panorama, prior)
    found = Pose2(estimate.east_m, estimate.north_m, estimate.yaw_rad)
    return FrameResult(
        pose_error(found, shot.truth), estimate.covariance, estimate.accepted,
        latency_ms=estimate.timings_ms['total'], baseline_error_m=shot.baseline_error_m)
