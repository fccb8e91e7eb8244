"""Films as a user has them, written without the code under test."""

import cv2


def write_film(path, frames, fps=15.0):
    """uint8 (H, W, 3) RGB frames, all of one even size, as MPEG-4 in the container that the suffix names."""
    frames = list(frames)
    height, width = frames[0].shape[:2]
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    assert film.isOpened()
    for frame in frames:
        film.write(frame[..., ::-1].copy())
    film.release()
    return path
