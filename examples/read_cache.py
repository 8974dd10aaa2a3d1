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

"""
Say what a tile cache holds and cut an aerial patch out of it; no torch and no ROS are needed.

python3 examples/read_cache.py ~/.cache/fg2_ros/ign_bd_ortho.mbtiles 48.8584 2.2945 patch.png
"""

import argparse
from contextlib import closing

from fg2_ros import open_imagery
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery import PatchView
from fg2_ros.imagery.stores.mbtiles_index import read_mbtiles_index
from PIL import Image


def main() -> None:
    """Print the tiles of each zoom and write the patch."""
    parser = argparse.ArgumentParser(description='Cut an aerial patch out of a tile cache.')
    parser.add_argument('cache', help='.mbtiles')
    parser.add_argument('latitude', type=float, help='of the centre')
    parser.add_argument('longitude', type=float, help='of the centre')
    parser.add_argument('picture', help='.png or .jpg to write')
    parser.add_argument('--size', type=float, default=100.0, metavar='M', help='(%(default)s)')
    args = parser.parse_args()

    for zoom, tiles in read_mbtiles_index(args.cache).zooms.items():
        print(f'zoom {zoom}: {len(tiles.keys)} tiles, {tiles.sizes.sum() / 1e6:.1f} MB')
    around = MapFrame(args.latitude, args.longitude)  # east and north in metres from there
    with closing(open_imagery(args.cache)) as imagery:
        patch = imagery.patch(PatchView(around, (0.0, 0.0), args.size, 1000))
    Image.fromarray(patch.image).save(args.picture)
    print(f'{args.picture}: {args.size:g} m around the place, {patch.valid_share:.0%} covered, '
          f'{patch.attribution or "no attribution"}')


if __name__ == '__main__':
    main()
