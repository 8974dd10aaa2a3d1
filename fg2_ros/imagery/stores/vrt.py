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

"""VRT files of GDAL: which files they refer to, and whether they do anything else."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
from xml.etree import ElementTree

from fg2_ros.imagery.patch import FileProblem

_LARGEST_BYTES = 1 << 25
_MOST_SOURCES = 50_000
_KNOWN = {  # elements of a mosaic of files
    'VRTDataset', 'SRS', 'GeoTransform', 'Metadata', 'MDI', 'OverviewList', 'MaskBand',
    'VRTRasterBand', 'Description', 'UnitType', 'Offset', 'Scale', 'ColorInterp', 'ColorTable',
    'Entry', 'NoDataValue', 'HideNoDataValue', 'CategoryNames', 'Category', 'Histograms',
    'HistItem', 'HistMin', 'HistMax', 'BucketCount', 'IncludeOutOfRange', 'Approximate',
    'HistCounts', 'Overview', 'SimpleSource', 'ComplexSource', 'AveragedSource', 'SourceFilename',
    'SourceBand', 'SourceProperties', 'SrcRect', 'DstRect', 'NODATA', 'UseMaskBand', 'ScaleOffset',
    'ScaleRatio', 'LUT', 'Exponent', 'SrcMin', 'SrcMax', 'DstMin', 'DstMax',
    'ColorTableComponent', 'BlockXSize', 'BlockYSize'}


def source_files_of(path: Path) -> list[Path]:
    """
    Return the files that a VRT file shows.

    :raises FileProblem: if it shows others than those in its folder and below, computes, or asks
        for anything but a mosaic.
    """
    root = _parsed(path)
    for element in root.iter():
        kind = element.get('subClass', 'VRTSourcedRasterBand')
        if element.tag not in _KNOWN or kind != 'VRTSourcedRasterBand':
            raise FileProblem(f'{path} is more than a mosaic of files: it has'
                              f' {element.get("subClass", element.tag)!s:.40}, and is not opened')
        if element.get('domain', '').upper() in ('OVERVIEWS', 'XML:VRT'):
            raise FileProblem(f'{path} names overviews elsewhere, and is not opened')
    sources = list(dict.fromkeys(_sources(root, path)))
    if not sources:
        raise FileProblem(f'{path} is a VRT file that shows nothing')
    return sources


def _parsed(path: Path) -> ElementTree.Element:
    try:
        with path.open('rb') as file:
            text = file.read(_LARGEST_BYTES + 1)
        if len(text) > _LARGEST_BYTES or b'<!' in text.replace(b'<!--', b''):
            raise FileProblem(f'{path} is larger than {_LARGEST_BYTES} bytes or defines entities')
        return ElementTree.fromstring(text)
    except OSError as error:
        raise FileProblem(f'{path} cannot be read: {error.strerror}') from None
    except (ElementTree.ParseError, LookupError, ValueError, RecursionError) as error:
        raise FileProblem(f'{path} is a damaged VRT file: {error}') from None


def _sources(root: ElementTree.Element, path: Path) -> Iterator[Path]:
    folder = os.path.abspath(path.parent)
    for number, element in enumerate(root.iter('SourceFilename')):
        name = element.text or ''
        relative = next((value for key, value in element.items()
                         if key.lower() == 'relativetovrt'), '0')
        source = os.path.abspath(os.path.join(folder, name) if relative == '1' else name)
        beside = os.path.commonpath([folder, source]) == folder
        anywhere = relative != '1' and not os.path.isabs(name)
        if anywhere or not beside or name != name.strip():
            raise FileProblem(f'{path} shows {name!s:.200}, which does not lie beside it: only'
                              ' files in its folder and below are read')
        if not os.path.isfile(source):
            raise FileProblem(f'{path} shows {source}, which is no file')
        if number >= 4 * _MOST_SOURCES:
            raise FileProblem(f'{path} shows more than {_MOST_SOURCES} files')
        yield Path(source)
