"""From matching scores to poses: Procrustes, RANSAC, sub-cell refinement, covariance."""
