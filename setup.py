"""Installs fg2_ros the way `colcon build` expects of an ament_python package."""

import os

from setuptools import find_packages, setup

PACKAGE = 'fg2_ros'


def shared(folder):
    """Return the (destination, files) pairs of a folder installed below share/fg2_ros."""
    return [
        (os.path.join('share', PACKAGE, path), [os.path.join(path, name) for name in names])
        for path, _, names in os.walk(folder) if names and '__pycache__' not in path]


setup(
    name=PACKAGE,
    version='0.1.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={'': ['*.css', '*.html', '*.js', '*.json', '*.yaml', 'templates/*', 'weights/*']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        (f'share/{PACKAGE}/requirements', [
            'requirements/export.txt', 'requirements/imagery.txt',
            'requirements/simulation.txt', 'requirements/training.txt',
            'requirements/vehicle.txt']),
        *shared('config'),
        *shared('launch'),
    ],
    install_requires=['setuptools'],
    zip_safe=True,
    author='fg2_ros maintainers',
    author_email='maintainers@fg2-ros.org',
    maintainer='fg2_ros maintainers',
    maintainer_email='maintainers@fg2-ros.org',
    description='Localizes ground panoramas in aerial imagery by fine-grained feature matching',
    license='Apache-2.0',
    extras_require={'imagery': ['pmtiles', 'rasterio'], 'test': ['hypothesis', 'pytest']},
    entry_points={
        'console_scripts': [
            'fg2 = fg2_ros.commands:main',
            'fg2_node = fg2_ros.ros.node:main',
        ],
    },
)
