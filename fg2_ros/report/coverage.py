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

"""Pictures of the tiles in a file, with a route on them: one HTML page, or one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import io
from pathlib import Path

import cv2
from fg2_ros.geometry import mercator
from fg2_ros.imagery.stores.mbtiles_index import MbtilesIndex, tiles_of, ZoomIndex
from fg2_ros.imagery.tiles.address import TileId
from fg2_ros.prefetch.coverage import COARSER, FULL, NONE, PARTIAL, RouteTrack, Stretch
from fg2_ros.report.html_page import data_uri, write_page
import numpy as np
from PIL import Image

WIDTH_PX, HEIGHT_PX, TITLE_PX = 1000, 640, 34
LARGEST_TILE_PX, SMALLEST_WITH_PICTURE_PX = 96, 12
MOST_PICTURES = 1500
Rgb = tuple[int, int, int]
INK, PAPER, FRESH, EXPIRED = (27, 36, 48), (244, 245, 247), (132, 173, 214), (186, 194, 204)
COLOURS = {FULL: (18, 128, 92), COARSER: (105, 65, 198), PARTIAL: (247, 144, 9),
           NONE: (217, 45, 32)}
MEANINGS = {FULL: 'imagery', COARSER: 'only coarser imagery', PARTIAL: 'gaps in the patch',
            NONE: 'no imagery'}


@dataclass(frozen=True)
class _View:
    """What part of the tiles' plane a picture shows: (x, y) in tiles, to pixels."""

    west: float
    north: float
    px: float  # a tile
    world: int

    def pixels(self, x, y) -> np.ndarray:
        """Return (N, 2) columns and rows of places; x counts on from the western edge."""
        return np.stack([(np.asarray(x) - self.west) % self.world,
                         np.asarray(y) - self.north], axis=-1) * self.px


def write_coverage(path: Path, index: MbtilesIndex, tracks: Sequence[RouteTrack],
                   stretches: Sequence[Stretch], figures: dict) -> None:
    """
    Write the pictures of all zooms, as a page with tables or, for .png, as one picture.

    :param path: the file; replaced if it exists.
    """
    panels = {zoom: draw(index, index.at(zoom), tracks)
              for zoom in reversed(index.zooms)}
    if Path(path).suffix.lower() == '.png':
        titled = [_titled(panel, _caption(index.at(zoom))) for zoom, panel in panels.items()]
        Path(path).write_bytes(_png(np.concatenate(titled or [_nothing()])))
    else:
        _write_html(Path(path), index, panels, stretches, figures)


def draw(index: MbtilesIndex, zoom_index: ZoomIndex,
         tracks: Sequence[RouteTrack] = ()) -> np.ndarray:
    """Return an (H, W, 3) uint8 RGB picture of the tiles of a zoom, with lines on it."""
    lines = [mercator.world_pixel_from_geodetic(
        track.places[:, 0], track.places[:, 1], zoom_index.zoom, tile_px=1) for track in tracks]
    view, (width, height) = _view(zoom_index, lines)
    picture = np.full((height, width, 3), PAPER, np.uint8)
    _draw_tiles(picture, view, zoom_index)
    if view.px >= SMALLEST_WITH_PICTURE_PX and len(zoom_index.keys) <= MOST_PICTURES:
        _draw_pictures(picture, view, index, zoom_index)
    for track, (x, y) in zip(tracks, lines):
        _draw_line(picture, view.pixels(x, y), track.state)
    return picture


def _view(zoom_index: ZoomIndex, lines: Sequence) -> tuple[_View, tuple[int, int]]:
    """Return the view that shows everything, and its (width, height) in pixels."""
    world = 2 ** zoom_index.zoom
    x = np.concatenate([zoom_index.columns, *(np.floor(x % world) for x, _ in lines)])
    y = np.concatenate([zoom_index.rows, *(np.floor(y) for _, y in lines)])
    columns = np.unique(x)
    gaps = np.diff(columns, append=columns[0] + world)
    west = columns[(np.argmax(gaps) + 1) % len(columns)]  # east of the widest gap: over +-180, too
    wide = min(world, np.max((x - west) % world) + 1)
    high = np.max(y) - np.min(y) + 1
    px = min(LARGEST_TILE_PX, WIDTH_PX / (wide + 0.5), HEIGHT_PX / (high + 0.5))
    view = _View(west - 0.25, float(np.min(y)) - 0.25, px, max(world, int(wide) + 1))
    return view, (int(np.ceil((wide + 0.5) * px)), int(np.ceil((high + 0.5) * px)))


def _draw_tiles(picture: np.ndarray, view: _View, zoom_index: ZoomIndex) -> None:
    """Draw squares, or where they would be smaller than pixels how densely they lie."""
    corners = view.pixels(zoom_index.columns, zoom_index.rows)
    for fresh, colour in ((False, EXPIRED), (True, FRESH)):
        draw_them = _draw_squares if view.px >= 2 else _draw_density
        draw_them(picture, corners[zoom_index.fresh == fresh], view.px, colour)


def _draw_squares(picture: np.ndarray, corners: np.ndarray, side_px: float, colour: Rgb) -> None:
    gap = 1 if side_px >= 6 else 0
    for first, last in zip(np.round(corners).astype(int).tolist(),
                           (np.round(corners + side_px) - 1 - gap).astype(int).tolist()):
        cv2.rectangle(picture, first, last, colour, cv2.FILLED)


def _draw_density(picture: np.ndarray, corners: np.ndarray, side_px: float, colour: Rgb) -> None:
    height, width = picture.shape[:2]
    column, row = np.floor(corners).astype(int).T
    count = np.zeros((height, width))
    np.add.at(count, (row.clip(0, height - 1), column.clip(0, width - 1)), 1)
    share = np.minimum(1.0, count * min(1.0, side_px) ** 2)[..., None]
    share = np.where(share > 0, np.maximum(share, 0.25), 0.0)  # a single tile is seen, too
    picture[:] = np.round(picture * (1 - share) + np.array(colour) * share)


def _draw_pictures(picture: np.ndarray, view: _View, index: MbtilesIndex,
                   zoom_index: ZoomIndex) -> None:
    tiles = [TileId(zoom_index.zoom, *address)
             for address in zip(zoom_index.columns.tolist(), zoom_index.rows.tolist())]
    side = int(view.px) - 1
    for tile, data in tiles_of(index, tiles).items():
        left, top = np.round(view.pixels(tile.x, tile.y)).astype(int)
        small = _small(data, side)
        if small is not None:
            picture[top:top + side, left:left + side] = small[
                :picture.shape[0] - top, :picture.shape[1] - left]


def _small(data: bytes, side: int) -> np.ndarray | None:
    """Return a small picture of an encoded tile; None if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data), formats=('JPEG', 'PNG', 'WEBP')) as image:
            if max(image.size) > 2048:
                return None
            image.draft('RGB', (2 * side, 2 * side))  # JPEG: decoded at a fraction of its size
            return np.array(image.convert('RGB').resize((side, side), Image.Resampling.BOX))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _draw_line(picture: np.ndarray, pixels: np.ndarray, state: np.ndarray) -> None:
    points = np.round(pixels * 16).astype(np.int32)
    white = dict.fromkeys(COLOURS, (255, 255, 255))
    for colours, thickness in ((white, 7), (COLOURS, 4)):
        if len(points) == 1:
            cv2.circle(picture, points[0], 16 * thickness, colours[int(state[0])], cv2.FILLED,
                       cv2.LINE_AA, 4)
        for first, last, kind in zip(points[:-1], points[1:], state.tolist()):
            cv2.line(picture, first, last, colours[kind], thickness, cv2.LINE_AA, 4)


def _caption(zoom_index: ZoomIndex) -> str:
    fresh = int(zoom_index.fresh.sum())
    count, megabytes = len(zoom_index.keys), zoom_index.sizes.sum() / 1e6
    return (f'Zoom {zoom_index.zoom}: {count:,} tiles, {megabytes:,.1f} MB, '
            f'{count - fresh:,} out of date')


def _titled(panel: np.ndarray, text: str) -> np.ndarray:
    picture = np.full((TITLE_PX + len(panel), WIDTH_PX, 3), 255, np.uint8)
    picture[TITLE_PX:, :panel.shape[1]] = panel[:, :WIDTH_PX]
    cv2.putText(picture, text, (4, TITLE_PX - 11), cv2.FONT_HERSHEY_SIMPLEX, 0.6, INK, 1,
                cv2.LINE_AA)
    return picture


def _nothing() -> np.ndarray:
    return _titled(np.full((60, WIDTH_PX, 3), PAPER, np.uint8), 'There are no tiles')


def _png(picture: np.ndarray) -> bytes:
    return cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def _write_html(path: Path, index: MbtilesIndex, panels: dict[int, np.ndarray],
                stretches: Sequence[Stretch], figures: dict) -> None:
    legend = {'tile': FRESH, 'tile out of date': EXPIRED}
    if 'route' in figures:
        legend |= {MEANINGS[state]: colour for state, colour in COLOURS.items()}
    write_page(
        path, 'coverage.html', title=f'Coverage of {index.path.name}',
        subtitle=index.metadata.get('attribution', ''), legend=legend,
        route=figures.get('route'), stretches=stretches, pictures=[
            (data_uri(_png(panel), 'png'), zoom, _caption(index.at(zoom)))
            for zoom, panel in panels.items()])
