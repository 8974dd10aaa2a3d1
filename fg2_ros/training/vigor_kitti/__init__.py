"""Training as the paper does it, on VIGOR and KITTI."""
