"""What picamera2 needs to run on libcamera's virtual camera. A plugin for pytest (`-p`), used in
the root that `build.sh` makes: nothing of it is in the driver.

- `pykms`, which draws previews, is not there and not used;
- the virtual camera has no raw stream, from which picamera2 reads the sensor's modes;
- it wants luma and chroma of a buffer as two planes, picamera2 allocates one;
- it fills buffers as fast as it gets them: here it gets them at RATE_HZ.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
import types
from typing import Any

RATE_HZ = 20
RAW_MODES = [{"format": "SRGGB8", "size": (640, 480)}]


class _AnyName:
    def __getattr__(self, name: str) -> str:
        return name


sys.modules["pykms"] = types.SimpleNamespace(PixelFormat=_AnyName())  # type: ignore[assignment]

import libcamera  # noqa: E402
from picamera2 import Picamera2  # noqa: E402
from picamera2.allocators import DmaAllocator  # noqa: E402


def _allocate_two_planes(self: Any, configuration: Any, _use_case: Any) -> None:
    self.libcamera_fds = []
    self.cleanup()
    for descriptor in self.open_fds:
        os.close(descriptor)
    self.frame_buffers, self.open_fds = {}, []
    for stream in configuration:
        self.frame_buffers[stream.stream] = [
            _two_planes(self, stream) for _ in range(stream.buffer_count)
        ]


def _two_planes(allocator: Any, stream: Any) -> Any:
    memory = allocator.dmaHeap.alloc("two planes", stream.frame_size)
    allocator.open_fds.append(memory.get())
    luma = stream.stride * stream.size.height
    planes = []
    for offset, length in ((0, luma), (luma, stream.frame_size - luma)):
        plane = libcamera.FrameBuffer.Plane()
        plane.fd, plane.offset, plane.length = memory.get(), offset, length
        planes.append(plane)
    allocator.libcamera_fds.append(planes[0].fd)
    allocator.mapped_buffers_used[planes[0].fd] = False
    buffer = libcamera.FrameBuffer(planes)
    allocator.mapped_buffers[buffer] = mmap.mmap(memory.get(), stream.frame_size)
    return buffer


_queue_request = libcamera.Camera.queue_request
_due_s = 0.0


def _queue_when_due(self: Any, request: Any) -> Any:
    global _due_s
    _due_s = max(_due_s + 1 / RATE_HZ, time.monotonic())
    time.sleep(max(0.0, _due_s - time.monotonic()))
    return _queue_request(self, request)


Picamera2._get_raw_modes = lambda self: RAW_MODES
DmaAllocator.allocate = _allocate_two_planes
libcamera.Camera.queue_request = _queue_when_due
