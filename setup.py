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

"""Installs fg2_ros the way `colcon build` expects of an ament_python package."""

import os
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'fg2_ros'


def shared(folder):
    """Return the (destination, files) pairs of a folder installed below share/fg2_ros."""
    return [
        (os.path.join('share', PACKAGE, path), [os.path.join(path, name) for name in names])
        for path, _, names in os.walk(folder) if names and '__pycache__' not in path]


def requirements(name):
    """Return the packages that a file of requirements/ names."""
    lines = Path('requirements', f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


EXTRAS = {'torch': 'vehicle', **{
    name: name for name in ('dask', 'export', 'imagery', 'ray', 'simulation', 'training')}}

setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={'': ['py.typed', 'templates/*', 'weights/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/requirements', [
            f'requirements/{name}.txt' for name in ('core', *EXTRAS.values())]),
        *shared('config'),
        *shared('launch'),
    ],
    python_requires='>=3.11',
    install_requires=['setuptools', *requirements('core')],
    zip_safe=True,
    author='fg2_ros maintainers',
    author_email='maintainers@fg2-ros.org',
    maintainer='fg2_ros maintainers',
    maintainer_email='maintainers@fg2-ros.org',
    description='Localizes ground panoramas in aerial imagery by fine-grained feature matching',
    license='Apache-2.0',
    extras_require={
        'test': ['hypothesis', 'pytest', 'pytest-cov'],
        **{extra: requirements(name) for extra, name in EXTRAS.items()}},
    entry_points={
        'console_scripts': [
            'fg2 = fg2_ros.commands:main',
            'fg2_node = fg2_ros.ros.node:main',
        ],
    },
)
