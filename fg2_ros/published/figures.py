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

"""The accuracy that FG2's authors published."""

from __future__ import annotations

CONDITION = {
    'vigor': 'Published for known orientation, with RANSAC (Xia & Alahi, CVPR 2025).',
    'kitti': 'Published by Xia & Alahi, CVPR 2025.'}
PUBLISHED = {
    ('vigor', 'samearea'): {'mean_error_m': 1.95, 'median_error_m': 1.08},
    ('vigor', 'crossarea'): {'mean_error_m': 2.41, 'median_error_m': 1.37},
    ('kitti', 'test1'): {
        'mean_error_m': 0.75, 'median_error_m': 0.51,
        'mean_yaw_error_deg': 0.93, 'median_yaw_error_deg': 0.66},
    ('kitti', 'test2'): {
        'mean_error_m': 7.31, 'median_error_m': 4.15,
        'mean_yaw_error_deg': 3.62, 'median_yaw_error_deg': 2.37}}
