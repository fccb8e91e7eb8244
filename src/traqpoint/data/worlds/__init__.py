"""Synthetic worlds: textured scenes, a camera's path, light and shutter, with exact geometry."""
