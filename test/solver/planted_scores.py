"""Matching scores with a known pose in them, as a well-trained network would give them."""

from fg2_ros.solver.grid import BevGrid
import torch


def small_grid(cells=21, cell_m=1.4):
    """Return a square grid of few cells."""
    half = cell_m * (cells - 1) / 2
    axis = torch.linspace(-half, half, cells)
    points = torch.cartesian_prod(axis, axis)
    return BevGrid(points, points, cells, cell_m)


def aerial_places(grid, camera, bearing):
    """Return where the (G, 2) ground points lie in the aerial grid, in metres."""
    cosine, sine = torch.cos(bearing), torch.sin(bearing)
    inverse = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    return grid.ground @ inverse.T + camera


def planted_probabilities(grid, camera, bearing, outliers, generator):
    """Return (1, A, G) probabilities: one aerial cell for each ground cell, a share wrong."""
    places = aerial_places(grid, camera, bearing)
    nearest = torch.cdist(places, grid.aerial).argmin(-1)
    inside = (places.abs() <= grid.aerial.max()).all(-1)
    wrong = torch.rand(len(places), generator=generator) < outliers
    random = torch.randint(len(grid.aerial), nearest.shape, generator=generator)
    partner = torch.where(wrong | ~inside, random, nearest)
    probabilities = torch.full((1, len(grid.aerial), len(places)), 1e-9)
    strength = 0.2 + 0.8 * torch.rand(len(places), generator=generator)
    probabilities[0, partner, torch.arange(len(places))] = strength
    return probabilities


def planted_scores(grid, camera, bearing, outliers, generator, noise_m=0.5):
    """
    Return (1, A, G) scores of bilinearly shared matches that err by ``noise_m``, a share wrong.

    This is what cross entropy against bilinear targets converges to.
    """
    places = aerial_places(grid, camera, bearing)
    places = places + noise_m * torch.randn(places.shape, generator=generator)
    extent = 2 * grid.aerial.max()
    wrong = torch.rand(len(places), 1, generator=generator) < outliers
    random = (torch.rand(places.shape, generator=generator) - 0.5) * extent
    places = torch.where(wrong, random, places)
    axis = grid.aerial[:grid.cells, 1]
    tents = [(1 - (axis - place[:, None]).abs() / grid.cell_m).clamp_min(0)
             for place in places.unbind(-1)]
    shares = (tents[0][:, :, None] * tents[1][:, None, :]).flatten(1)
    background = 0.05 / len(grid.aerial)
    scores = torch.log(0.95 * shares + background)
    jitter = 0.2 * torch.randn(scores.shape, generator=generator)
    return (scores + jitter).T[None] + 6


def dual_softmax(scores):
    """Return mutual matching probabilities."""
    return scores.softmax(1) * scores.softmax(2)
