"""The evaluation of the paper, on VIGOR and KITTI."""
