"""What the authors of FG2 and DINOv2 left: names, queries, checkpoints, figures."""
