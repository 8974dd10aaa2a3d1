"""A vehicle with everything that follows a drive: network, aerial imagery, tracker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fg2_ros.evaluation.drives.results import DriveResult, ImageResult
from fg2_ros.evaluation.drives.run import drive_result, opened_stream, RowSettings
from fg2_ros.evaluation.drives.single import Single, single_localizer
from fg2_ros.evaluation.drives.stream import SensorStream
from fg2_ros.evaluation.simulated import CurrentCity
from fg2_ros.localizer.localizer import Localizer
from fg2_ros.localizer.observer import Observer
from fg2_ros.network.inference import optimise_for_inference
from fg2_ros.network.weights import load_network, read_metadata, usable_device, usable_precision
from fg2_ros.tracker.settings import Calibration, TrackerSettings
from fg2_ros.tracker.tracker import Tracker


class Vehicle:
    """
    Follows drives, one after the other.

    :param observer: takes its patches from ``imagery``.
    :param new_tracker: makes one that knows nothing, for each drive.
    :param single: answers from an image alone; takes its patches from ``imagery``, too.
    """

    def __init__(self, observer: Observer, imagery: CurrentCity,
                 new_tracker: Callable[[], Tracker] = Tracker, single: Single | None = None):
        """Be in no city yet."""
        self.observer, self.imagery = observer, imagery
        self.new_tracker, self._single = new_tracker, single

    @classmethod
    def load(cls, weights: Path, device: str = 'auto', precision: str = 'fp32',
             with_single: bool = True) -> Vehicle:
        """
        Return a vehicle with the network of a weights file.

        :param with_single: whether images are localized alone, too, for comparison.
        :raises ValueError: if the file, the device or the precision cannot be used.
        """
        place, imagery = usable_device(device), CurrentCity()
        network = optimise_for_inference(
            load_network(weights, place, usable_precision(precision, place)))
        metadata = read_metadata(weights)
        settings = TrackerSettings(calibration=Calibration.of(metadata))
        single = single_localizer(
            Localizer(network, imagery, metadata=metadata)) if with_single else None
        return cls(Observer(network, imagery), imagery,
                   lambda: Tracker(settings, network.config.cell_m), single)

    def stream(self, settings: RowSettings, seed: int, cache: Path) -> SensorStream:
        """Return a drive, and be in its city."""
        stream = opened_stream(settings, seed, cache)
        self.imagery.raster = stream.imagery
        self.observer.forget()
        return stream

    def drive(self, settings: RowSettings, seed: int, cache: Path,
              on_image: Callable[[ImageResult], None] = lambda image: None) -> DriveResult:
        """Follow a drive of the settings; see `drive_result`."""
        return drive_result(seed, self.stream(settings, seed, cache), self.new_tracker(),
                            self.observer, self._single, on_image)
