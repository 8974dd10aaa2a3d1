"""Localize an image in aerial imagery: a prior in, a pose with its covariance out. No ROS."""

from fg2_ros.localizer.estimate import Estimate, MapPrior, Matches, Prior
from fg2_ros.localizer.localizer import Localizer
from fg2_ros.localizer.settings import LocalizerSettings, PatchSettings

__all__ = ['Estimate', 'Localizer', 'LocalizerSettings', 'MapPrior', 'Matches', 'PatchSettings',
           'Prior']
