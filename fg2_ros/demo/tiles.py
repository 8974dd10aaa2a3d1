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
Serve an orthophoto as map tiles until interrupted; the first line printed is the address.

``python -m fg2_ros.demo.tiles ORTHOPHOTO.png --resolution M --datum LATITUDE LONGITUDE``
"""

from __future__ import annotations

import argparse

import cv2
from fg2_ros.geometry.frames import MapFrame
from fg2_ros.imagery.raster import RasterImagery
from fg2_ros.simulation.tile_server import TileServer


def main() -> None:
    """Run the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('orthophoto', help='image whose centre is the datum')
    parser.add_argument('--resolution', type=float, required=True, help='metres a pixel')
    parser.add_argument('--datum', type=float, nargs=2, required=True, help='degrees')
    args = parser.parse_args()
    image = cv2.imread(args.orthophoto)
    if image is None:
        parser.error(f'{args.orthophoto} is not a readable image')
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    orthophoto = RasterImagery(rgb, MapFrame(*args.datum), (0.0, 0.0), args.resolution)
    server = TileServer(orthophoto.tile)
    print(server.url_template, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    main()
