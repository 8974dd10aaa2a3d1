"""Frames to train on and to evaluate with: VIGOR, KITTI and simulated cities."""
