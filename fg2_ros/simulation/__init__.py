"""Simulated cities, drives and sensors."""
