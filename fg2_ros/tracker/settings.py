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

"""Settings of the tracker, and its calibration for weights and a camera."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
import math
from typing import Any

from fg2_ros.settings import setting
import numpy as np

METADATA_KEY = 'tracker'  # of a calibration in the metadata of weights
# Of the log-odds of right and wrong places, and the usual values that features are compared with.
ODDS = ('odds_begin', 'odds_gain', 'odds_shortfall', 'odds_strength', 'odds_lack', 'strength',
        'resemblance')
MIN_STRENGTH = 0.02  # times the usual one
MAX_LACK = 0.5  # of resemblance: a larger one is no further evidence


@dataclass(frozen=True)
class MotionSettings:
    """How far odometry is believed."""

    timeout_s: float = setting(
        0.5, 'Odometry is extrapolated by its last velocity for at most this long.',
        unit='s', between=(0.0, 10.0))
    drift_m: float = setting(
        0.06, 'Odometry is off by this much, one sigma, after a metre; after n metres by sqrt(n) '
        'times as much.', unit='m', between=(0.0, 10.0))
    drift_deg: float = setting(
        0.3, 'Its heading is off by this much, one sigma, after a second; after n seconds by '
        'sqrt(n) times as much.', unit='deg', between=(0.0, 90.0))
    speed_without_mps: float = setting(
        10.0, 'How fast the vehicle may drive where there is no odometry.',
        unit='m/s', between=(0.0, 100.0))
    jump_m: float = setting(
        0.5, 'A step of odometry may differ this much from what its velocity and its time allow; '
        'one that differs more is a jump and left out.', unit='m', between=(0.01, 100.0))
    jump_deg: float = setting(
        10.0, 'The same for its heading.', unit='deg', between=(0.1, 180.0))


@dataclass(frozen=True)
class PriorSettings:
    """How GNSS and headings are believed."""

    fix_timeout_s: float = setting(
        10.0, 'A start needs a fix that is not older than this.', unit='s', between=(0.1, 600.0))
    heading_timeout_s: float = setting(
        0.5, 'A heading must be at most this far from the image in time, unless odometry '
        'carries it.', unit='s', between=(0.01, 60.0))
    min_fix_sigma_m: float = setting(
        1.0, 'A fix is never believed better than this: receivers are optimistic between houses.',
        unit='m', between=(0.0, 1000.0))
    min_heading_sigma_deg: float = setting(
        3.0, 'A heading is never believed better than this.', unit='deg', between=(0.0, 90.0))
    fix_wander_s: float = setting(
        30.0, 'Fixes this far apart in time err independently; nearer ones alike.',
        unit='s', between=(0.01, 1000.0))
    heading_wander_s: float = setting(
        30.0, 'Headings this far apart in time err independently; nearer ones alike.',
        unit='s', between=(0.01, 1000.0))
    outlier_share: float = setting(
        0.02, 'Share of fixes and headings that say nothing: what they exclude at most.',
        between=(1e-6, 0.9))
    reach_sigmas: float = setting(
        3.0, 'A search reaches this far around GNSS.', between=(1.0, 10.0))
    largest_reach_m: float = setting(
        170.0, 'But no further than this.', unit='m', between=(10.0, 1000.0))


@dataclass(frozen=True)
class Calibration:
    """
    How much images may be believed: found by `fg2 calibrate` for weights and a camera.

    The defaults are for weights that nobody has calibrated: they believe less, and claim less.

    :param temper: factor of an image's log-likelihood.
    :param nothing_share: of images that say nothing of the pose.
    :param correlation_m: over so many metres of road the correlation of their errors falls to 1/e.
    :param memory_m: distance after which what was believed weighs 1/e.
    :param odds_begin: logarithm of the odds that a place is right before any image.
    :param odds_gain: what an image that agrees fully adds to it.
    :param odds_shortfall: what one takes away that falls short entirely of its own best place.
    :param odds_strength: what images add that match e times as strongly as usual.
    :param odds_lack: what images take away whose resemblance is less than usual by 1.
    :param strength: the usual one; images that match less strongly err by ``bias_m``, the square
        of how much more strongly they match makes it less.
    :param resemblance: the usual one, of which more does not count; see
        `fg2_ros.solver.posterior.DenseLikelihood.resemblance`.
    :param bias_m: sigma of position errors that no number of images averages out.
    :param bias_deg: the same of the heading.
    :param measurement_temper: `temper` of a single image's measurement.
    :param measurement_bias_m: `bias_m` of a single image's measurement.
    :param measurement_bias_deg: `bias_deg` of a single image's measurement.
    :param fitted_on: the drives it was found with; '' for none.
    """

    temper: float = 0.5
    nothing_share: float = 0.1
    correlation_m: float = 8.0
    memory_m: float = 60.0
    odds_begin: float = 1.0
    odds_gain: float = 2.5
    odds_shortfall: float = 20.0
    odds_strength: float = 1.0
    odds_lack: float = 1.0
    strength: float = 20.0
    resemblance: float = -1000.0
    bias_m: float = 1.5
    bias_deg: float = 1.5
    measurement_temper: float = 0.25
    measurement_bias_m: float = 1.5
    measurement_bias_deg: float = 1.5
    fitted_on: str = ''

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Calibration:
        """
        Return the calibration in the metadata of weights; the cautious defaults if there is none.

        :param metadata: of a weights file; the calibration is under 'tracker'.
        :raises ValueError: if there is one that makes no sense; the sentence says what.
        """
        values = metadata.get(METADATA_KEY)
        if values is None:
            return cls()
        if not isinstance(values, dict):
            raise ValueError('the calibration of the weights is no table of values: '
                             f'{repr(values)[:80]}')
        known = {each.name: each for each in fields(cls)}
        if wrong := sorted(set(known).symmetric_difference(values)):
            raise ValueError(
                f'the calibration of the weights has unknown or missing values: {wrong}')
        for name, value in values.items():
            _require_valid(name, value, isinstance(known[name].default, str))
        return cls(**values)

    def with_caution(self) -> Calibration:
        """
        Return one for weights that learnt more since, or for a camera that they never saw.

        No drive has told how far they err there. The odds stay, as they hold for such weights,
        too; the rest are the cautious defaults.
        """
        return Calibration(**{name: getattr(self, name) for name in ODDS})

    @property
    def odds_weights(self) -> np.ndarray:
        """Return the (5,) weights of what `compared` returns."""
        return np.array([self.odds_begin, self.odds_gain, -self.odds_shortfall,
                         self.odds_strength, -self.odds_lack])

    def compared(self, features: np.ndarray) -> np.ndarray:
        """
        Return (..., 5) features of `fg2_ros.tracker.evidence` as they count.

        The strength's logarithm against the usual one, and by how much the resemblance is less
        than usual.
        """
        *others, strength, resemblance = np.moveaxis(features, -1, 0)
        against = np.log(np.maximum(strength / self.strength, MIN_STRENGTH))
        lack = np.clip(self.resemblance - np.nan_to_num(resemblance, nan=np.inf), 0, MAX_LACK)
        return np.stack([*others, against, lack], -1)

    def share(self, strength: float) -> float:
        """Return how much of the position's bias is left where images match so strongly."""
        if not self.fitted_on:
            return 1.0  # nobody knows which strength is usual
        return min(self.strength / max(strength, 1e-6), 1.0) ** 2

    def bias(self, strength: float) -> np.ndarray:
        """Return the (3, 3) covariance that a belief's spread lacks."""
        return self._bias(self.bias_m, self.bias_deg, strength)

    def measurement_bias(self, strength: float) -> np.ndarray:
        """Return the (3, 3) covariance that the spread of one image's likelihood lacks."""
        return self._bias(self.measurement_bias_m, self.measurement_bias_deg, strength)

    def _bias(self, bias_m: float, bias_deg: float, strength: float) -> np.ndarray:
        share = self.share(strength)
        return np.diag([bias_m * share, bias_m * share, math.radians(bias_deg)]) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return the values as `of` reads them."""
        return asdict(self)


# Between which values of a calibration make sense: beyond them nothing is published, or a pose
# claims millimetres.
_LIMITS = {
    'temper': (0.01, 10.0), 'nothing_share': (1e-4, 0.9), 'correlation_m': (0.1, 1000.0),
    'memory_m': (1.0, 1e5), 'odds_begin': (-50.0, 50.0), 'odds_gain': (1e-3, 100.0),
    'odds_shortfall': (1e-3, 1e4), 'odds_strength': (1e-3, 100.0), 'odds_lack': (1e-3, 1e3),
    'strength': (0.01, 1e5), 'resemblance': (-1e4, 1e4),
    'bias_m': (5e-4, 100.0), 'bias_deg': (5e-4, 90.0),
    'measurement_temper': (0.01, 10.0), 'measurement_bias_m': (5e-4, 100.0),
    'measurement_bias_deg': (5e-4, 90.0)}


def _require_valid(name: str, value: Any, is_text: bool) -> None:
    if is_text:
        is_valid, rule = isinstance(value, str), 'it must be a text'
    else:
        low, high = _LIMITS[name]
        is_valid = isinstance(value, (int, float)) and not isinstance(value, bool) and (
            low <= value <= high)
        rule = f'it must be between {low:g} and {high:g}'
    if not is_valid:
        raise ValueError(f'the calibration of the weights has {name} = {repr(value)[:80]}, which '
                         f'makes no sense: {rule}')


@dataclass(frozen=True)
class PublicationSettings:
    """What a belief must fulfil to be published."""

    min_mass: float = setting(
        0.95, 'Probability that the likeliest place must have against all others that are '
        'considered.', between=(0.0, 1.0))
    min_agreement: float = setting(
        0.8, 'Probability that the place is the right one and none that looks alike, by how well '
        'the last images agree with it. A published pose stays so down to 0.5.',
        between=(0.0, 1.0))
    min_distance_m: float = setting(
        10.0, 'Images over this distance must have been seen before the first pose: a street '
        'looks like a street.', unit='m', between=(0.0, 1000.0))
    doubt_m: float = setting(
        60.0, 'After this distance without agreement the search starts again; sooner if images '
        'clearly disagree.', unit='m', between=(1.0, 1000.0))
    pose_every_m: float = setting(
        3.0, '~/pose, for a filter that takes each as independent, is published after this '
        'distance: images that are nearer to each other err alike.',
        unit='m', between=(0.0, 1000.0))
    max_sigma_m: float = setting(
        5.0, "A larger standard deviation along the position ellipse's major axis is not "
        'published.', unit='m', between=(0.01, 1e6))
    min_valid_share: float = setting(
        0.5, 'With less of the aerial patch covered by imagery nothing is published.',
        between=(0.0, 1.0))


@dataclass(frozen=True)
class TrackerSettings:
    """How inputs are believed, carried along, and when a pose may be published."""

    motion: MotionSettings = MotionSettings()
    prior: PriorSettings = PriorSettings()
    publication: PublicationSettings = PublicationSettings()
    calibration: Calibration = Calibration()
