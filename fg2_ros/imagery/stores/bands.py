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

"""The bands of an orthophoto: colours, brightness, opacity; needs ``rasterio``."""

from __future__ import annotations

from dataclasses import dataclass
import re

import cv2
from fg2_ros.imagery.patch import FileProblem
from fg2_ros.imagery.stores.nodata import find_nodata, Nodata, Sample
import numpy as np
from rasterio import DatasetReader
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window

_COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
_SAMPLE_PX = 64  # side of a window that is looked at
_SAMPLES = {False: 5, True: 3}  # of them along each axis; bytes need not be stretched
_DARKEST, _BRIGHTEST = 0.5, 99.5  # percentiles that become black and white


@dataclass(frozen=True)
class RasterOptions:
    """
    What the user knows of an orthophoto and its file does not say, or says wrongly.

    :param crs: its coordinate system, as PROJ understands it; '' for what the file says.
    :param bands: numbers of the red, green and blue band, or of the one that is grey, from 1; ()
        for those that the file names.
    :param shown_range: the values shown as black and white; () for those of the file.
    :param nodata: the value that means nothing, None for what the file says.
    """

    crs: str = ''
    bands: tuple[int, ...] = ()
    shown_range: tuple[float, ...] = ()
    nodata: float | None = None


@dataclass(frozen=True)
class Bands:
    """
    How to make a picture of a dataset.

    :param indexes: the bands to be red, green and blue, or the one to be grey, from 1.
    :param black: the value shown as 0.
    :param white: the value shown as 255.
    :param palette: (256, 4) uint8 RGBA of the values, if they are numbers of colours.
    :param masked: whether the dataset says where it has no imagery.
    :param nodata: value of pixels without data that the dataset does not declare.
    """

    indexes: tuple[int, ...]
    black: float
    white: float
    palette: np.ndarray | None
    masked: bool
    nodata: Nodata | None = None

    def read(self, dataset: DatasetReader,
             window: Window) -> tuple[np.ndarray, np.ndarray | None]:
        """Return (H, W, 3) uint8 RGB of a window, and (H, W) uint8, 255 where it is imagery."""
        values = dataset.read(self.indexes, window=window)
        valid = _opaque(dataset.dataset_mask(window=window)) if self.masked else None
        if self.palette is not None:
            pixels = self.palette[values[0]]
            return np.ascontiguousarray(pixels[..., :3]), _opaque(pixels[..., 3])
        empty = self._empty(values)
        if empty is not None:
            valid = np.where(empty, 0, 255 if valid is None else valid).astype(np.uint8)
        levels = [self._shown(band) for band in values]
        return cv2.merge(levels * (3 // len(levels))), valid

    def _empty(self, values: np.ndarray) -> np.ndarray | None:
        """Return (H, W) bool where values mean nothing, None if all mean something."""
        empty = None if self.nodata is None else self.nodata.mask(values)
        if values.dtype.kind == 'f' and not (finite := np.isfinite(values).all(axis=0)).all():
            empty = ~finite if empty is None else empty | ~finite
        return empty

    def _shown(self, values: np.ndarray) -> np.ndarray:
        if values.dtype == np.uint8 and (self.black, self.white) == (0, 255):
            return values
        with np.errstate(invalid='ignore', over='ignore'):
            shown = (values.astype(np.float32) - self.black) * (255 / (self.white - self.black))
        return np.nan_to_num(shown).clip(0, 255).round().astype(np.uint8)


def bands_of(dataset: DatasetReader, overview: DatasetReader,
             options: RasterOptions = RasterOptions()) -> Bands:
    """
    Return how to make a picture of a dataset.

    Colours are found by what the file says of its bands, else they are the first three, of one or
    two bands the first. Values other than bytes are stretched alike in all bands and everywhere,
    between percentiles of the whole file, unless they are within 0 to 255.

    :param dataset: the file at full resolution.
    :param overview: its coarsest overview, or itself, to take samples from.
    :param options: what the user says of it.
    :raises FileProblem: if its values are not brightnesses, or it lacks a band that is wanted.
    """
    if any(np.dtype(kind).kind not in 'uif' for kind in dataset.dtypes):
        raise FileProblem(f'{dataset.name} holds {dataset.dtypes[0]} values, which are no picture')
    if max(options.bands, default=1) > dataset.count:
        raise FileProblem(f'{dataset.name} has {dataset.count} bands and no band'
                          f' {max(options.bands)}: bands is wrong')
    meanings = list(dataset.colorinterp)
    masked = any(MaskFlags.all_valid not in flags for flags in dataset.mask_flag_enums)
    if ColorInterp.alpha in meanings:
        masked = _is_opacity(overview, meanings.index(ColorInterp.alpha) + 1)
    if (meanings[0] == ColorInterp.palette and dataset.dtypes[0] == 'uint8'
            and not options.bands):
        return Bands((1,), 0, 255, _palette(dataset, masked), masked=False)
    indexes = options.bands or _colours(meanings, dataset.descriptions)
    samples = _samples(overview, indexes, masked)
    if options.nodata is None:
        nodata = find_nodata(samples)
    else:
        nodata = Nodata(options.nodata, everywhere=True)
    black, white = options.shown_range or _range(samples, nodata)
    return Bands(indexes, black, white, None, masked, nodata)


def _opaque(opacity: np.ndarray) -> np.ndarray:
    """Return 255 where there is anything to be seen, however faint, and 0 elsewhere."""
    return np.where(opacity > 0, np.uint8(255), np.uint8(0))


def _colours(meanings: list[ColorInterp], descriptions: tuple[str | None, ...]) -> tuple[int, ...]:
    if set(_COLOURS) <= set(meanings):
        return tuple(meanings.index(colour) + 1 for colour in _COLOURS)
    words = [re.sub('[^a-z]', '', (text or '').lower()) for text in descriptions]
    if {'red', 'green', 'blue'} <= set(words):
        return tuple(words.index(colour) + 1 for colour in ('red', 'green', 'blue'))
    usable = [index for index, meaning in enumerate(meanings, 1) if meaning != ColorInterp.alpha]
    return tuple(usable[:3] if len(usable) >= 3 else usable[:1])


def _is_opacity(overview: DatasetReader, index: int) -> bool:
    """Return whether a band is what it says; near infrared is often written as opacity."""
    values = np.concatenate(
        [sample.values.ravel() for sample in _samples(overview, (index,), masked=False)])
    return float(np.mean((values > 0) & (values < values.max(initial=0)))) < 0.5


def _range(samples: list[Sample], nodata: Nodata | None) -> tuple[float, float]:
    """Return the values shown as black and white."""
    kind = samples[0].values.dtype
    if kind == np.uint8:
        return 0.0, 255.0
    values = np.concatenate(
        [sample.values[:, _shown_part(sample, nodata)] for sample in samples], axis=1)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 255.0 if kind.kind == 'f' else float(np.iinfo(kind).max)
    if kind.kind != 'f' and 0 <= values.min() and values.max() <= 255:
        return 0.0, 255.0
    black, white = np.percentile(values, [_DARKEST, _BRIGHTEST])
    return float(black), float(max(white, black + 1e-6 * max(1.0, abs(black))))


def _shown_part(sample: Sample, nodata: Nodata | None) -> np.ndarray:
    empty = None if nodata is None else nodata.mask(sample.values)
    return sample.valid if empty is None else sample.valid & ~empty


def _samples(dataset: DatasetReader, indexes: tuple[int, ...], masked: bool) -> list[Sample]:
    """Return windows all over a dataset, its edges among them."""
    samples = []
    along = _SAMPLES[dataset.dtypes[indexes[0] - 1] == 'uint8']
    for top in _starts(dataset.height, along):
        for left in _starts(dataset.width, along):
            window = Window(left, top, min(_SAMPLE_PX, dataset.width),
                            min(_SAMPLE_PX, dataset.height))
            values = dataset.read(indexes, window=window)
            valid = (dataset.dataset_mask(window=window) > 0 if masked
                     else np.ones(values.shape[1:], bool))
            edges = {'top': top == 0, 'bottom': top + window.height == dataset.height,
                     'left': left == 0, 'right': left + window.width == dataset.width}
            samples.append(Sample(values, valid, frozenset(
                edge for edge, is_edge in edges.items() if is_edge)))
    return samples


def _starts(size: int, count: int) -> list[int]:
    last = max(0, size - _SAMPLE_PX)
    return sorted({round(last * step / (count - 1)) for step in range(count)})


def _palette(dataset: DatasetReader, masked: bool) -> np.ndarray:
    """Return the colours of a palette, see-through where the file has no imagery."""
    palette = np.zeros((256, 4), np.uint8)
    for value, colour in dataset.colormap(1).items():
        palette[value] = colour
    if masked and dataset.nodata is not None and 0 <= dataset.nodata < 256:
        palette[int(dataset.nodata), 3] = 0
    return palette
