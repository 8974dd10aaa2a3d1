"""Where the vehicle is, carried along the drive: belief, motion, and what may be published."""
