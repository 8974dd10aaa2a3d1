"""Where GNSS, heading and odometry say the vehicle is. No ROS."""
